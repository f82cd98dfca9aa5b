"""The supervisor in step mode: it waits for a press before each step, and a stop ends the wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rclpy.parameter import Parameter
from ros_harness import Harness
from std_srvs.srv import Trigger
from supervisor_bench import Bench
from vinn.rollout.reader import read_recording, summarize_recording

from vinn_msgs.msg import RolloutStatus

pytestmark = pytest.mark.ros


@pytest.fixture
def bench(ros: Harness, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(ros, tmp_path)
    yield bench
    bench.rest.release.set()


def press(bench: Bench) -> Trigger.Response:
    return bench.ros.call(Trigger, "supervisor/step")


def test_one_step_for_each_press_and_a_stop_ends_the_wait(bench: Bench) -> None:
    bench.node.set_parameters([Parameter("step_mode", value=True)])
    assert bench.reset().success
    assert not press(bench).success  # nothing is waiting
    assert bench.start(max_steps=100).accepted
    for count in (1, 2):
        bench.ros.wait_for(lambda: bench.node._step_mode.waiting)
        assert len(bench.rest.steps) == count - 1
        assert press(bench).success
        bench.ros.wait_for(lambda c=count: len(bench.rest.steps) == c)
    bench.ros.wait_for(lambda: bench.node._step_mode.waiting)
    bench.node.publish_diagnostics()  # the next one by itself may come after the rollout
    recording = bench.node._status.recording + ".partial"
    bench.ros.wait_for(lambda: "/diagnostics" in summarize_recording(recording).message_counts)
    bench.ros.call(Trigger, "supervisor/stop_rollout")
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "OPERATOR_STOP"
    assert len(bench.rest.steps) == 2
    summary = summarize_recording(status.recording)
    assert summary.parameters["rollout_supervisor.step_mode"] == "true"
    steps = [m.message.step for m in read_recording(status.recording, {"/supervisor/status"})]
    assert max(steps) == 2
