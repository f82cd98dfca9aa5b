"""A rollout's first step may overtake the word that the rollout runs; a stranger's step may not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from executor_bench import Bench
from ros_harness import Harness
from vinn_ros.executor.lease import Lease

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("session", ["s2", "s3"])
def test_the_first_step_waits_for_word_of_its_session(
    ros: Harness, tmp_path: Path, session: str
) -> None:
    bench = Bench(ros, tmp_path, "streaming")
    assert bench.step(1).error_code == "NONE"
    bench.session = session
    bench.renewing = False
    expecting = threading.Event()
    expect = bench.node._lease.expect

    def told_meanwhile(wanted: str, timeout_s: float) -> None:
        expecting.set()
        expect(wanted, 20.0 * timeout_s)  # the machine that runs the tests may be busy

    bench.node._lease.expect = told_meanwhile
    handle = bench.send(1)
    assert expecting.wait(20.0)
    bench.renewing = True
    assert bench.result(handle).error_code == "NONE"


def test_an_image_gets_older_while_its_step_waits(ros: Harness, tmp_path: Path) -> None:
    bench = Bench(ros, tmp_path, "streaming")
    assert bench.step(1).error_code == "NONE"
    bench.session = "s2"
    bench.renewing = False
    limit_s = bench.node._robot.config.motion.max_image_age_s

    def told_late(wanted: str, timeout_s: float) -> None:
        until_s = time.monotonic() + limit_s
        bench.renewing = True
        while bench.node._lease.session != wanted or time.monotonic() < until_s:
            threading.Event().wait(0.01)

    bench.node._lease.expect = told_late
    result = bench.result(bench.send(1))
    assert result.error_code == "STALE_INPUT", result.error_msg
    assert f"0..{limit_s:g}" in result.error_msg


def test_strangers_wait_one_at_a_time() -> None:
    lease = Lease(60.0)
    lease.renew("ours", running=True)
    first = threading.Thread(target=lease.expect, args=("theirs", 30.0))
    first.start()
    while not lease._expecting.locked():
        first.join(0.001)
    for _ in range(200):
        lease.expect("theirs", 30.0)  # at once, or this test would never end
    refusal = lease.refusal("theirs")
    assert refusal is not None and refusal[0].value == "WRONG_SESSION"
    lease.renew("theirs", running=True)
    first.join(20.0)
    assert not first.is_alive()
    lease.expect("theirs", 30.0)
    assert lease.refusal("theirs") is None
