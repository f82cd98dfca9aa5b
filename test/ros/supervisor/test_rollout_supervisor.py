"""The supervisor node over a fake executor and a fake policy."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rclpy.callback_groups import ReentrantCallbackGroup
from ros_harness import Harness
from std_srvs.srv import Trigger
from supervisor_bench import Bench
from vinn.rollout.reader import summarize_recording

from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.srv import LabelRollout, StartRollout

pytestmark = pytest.mark.ros


@pytest.fixture
def bench(ros: Harness, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(ros, tmp_path)
    yield bench
    bench.rest.release.set()


def test_a_rollout_runs_to_its_step_limit_and_is_recorded(bench: Bench) -> None:
    assert bench.start().reason == "NOT_READY"
    assert bench.reset().success
    answer = bench.start(max_steps=3, name="oak")
    assert (answer.accepted, answer.reason) == (True, "NONE")
    status = bench.wait_state(RolloutStatus.ENDED)
    assert (status.session, status.step, status.reason) == (answer.session, 3, "STEP_LIMIT")
    assert status.outcome == RolloutStatus.UNKNOWN
    assert [goal.sequence for goal in bench.rest.steps] == [1, 2, 3]
    assert {goal.session for goal in bench.rest.steps} == {answer.session}
    summary = summarize_recording(status.recording)
    assert summary.info["name"] == "oak"
    assert summary.outcome is not None
    assert summary.outcome["reason"] == "STEP_LIMIT"
    assert summary.message_counts["/policy/prediction"] >= 3
    assert summary.message_counts["/supervisor/status"] >= 1


def test_each_step_sees_an_image_taken_after_the_last_motion(bench: Bench) -> None:
    assert bench.reset().success
    bench.start(max_steps=4)
    bench.wait_state(RolloutStatus.ENDED)
    # Frames come every 20 ms with an age of 10 ms; an older one would have waited through a step.
    assert all(0.0 < goal.prediction.image_age_s < 0.5 for goal in bench.rest.steps)
    assert len(bench.rest.steps) == 4


def test_a_prediction_that_knows_nothing_of_the_last_step_is_not_acted_on(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.forgetful = True
    bench.start(max_steps=3)
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "POLICY_LOST"
    assert "knows of step 1 (the policy knows of step 0)" in status.message
    assert [goal.sequence for goal in bench.rest.steps] == [1]


def test_a_prediction_of_another_rollout_is_not_acted_on(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.take_rollout = lambda status: None
    answer = bench.start(max_steps=3)
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "POLICY_LOST"
    assert f"knows of session {answer.session!r} (the policy knows of no session)" in status.message
    assert bench.rest.steps == []


def test_the_attempts_asked_for_are_what_the_rollout_says(bench: Bench) -> None:
    assert bench.reset().success
    request = StartRollout.Request(max_steps=1, attempts=2)
    assert bench.ros.call(StartRollout, "supervisor/start_rollout", request).accepted
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.attempts == 2
    summary = summarize_recording(status.recording)
    assert summary.attempts == 1
    assert bench.reset().success
    bench.start(max_steps=1)
    assert bench.wait_state(RolloutStatus.ENDED).attempts == 0


def test_of_twenty_simultaneous_starts_one_is_accepted(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.release.clear()
    clients = [
        bench.ros.node.create_client(
            StartRollout, "supervisor/start_rollout", callback_group=ReentrantCallbackGroup()
        )
        for _ in range(20)
    ]
    assert all(client.wait_for_service(10.0) for client in clients)
    together = threading.Barrier(len(clients))

    def ask(client: Any) -> StartRollout.Response:
        together.wait(20.0)
        done = threading.Event()
        future = client.call_async(StartRollout.Request(max_steps=2))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(20.0)
        return future.result()

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(ask, clients))
    accepted = [answer for answer in answers if answer.accepted]
    assert len(accepted) == 1
    assert {answer.reason for answer in answers if not answer.accepted} == {"BUSY"}
    bench.rest.release.set()
    assert bench.wait_state(RolloutStatus.ENDED).session == accepted[0].session


def test_stop_ends_a_rollout_and_the_motion(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.release.clear()
    assert bench.start(max_steps=50).accepted
    bench.ros.wait_for(lambda: bench.rest.steps)
    assert bench.ros.call(Trigger, "supervisor/stop_rollout").success
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "OPERATOR_STOP"
    assert bench.rest.stops >= 1
    assert len(bench.rest.steps) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"predicting": False}, "POLICY_LOST"),
        ({"predicting": False, "seeing": False}, "CAMERA_STALE"),
        ({"alive": False}, "EXECUTOR_LOST"),
    ],
)
def test_what_goes_silent_ends_the_rollout(bench: Bench, fault: dict, reason: str) -> None:
    assert bench.reset().success
    assert bench.start(max_steps=10_000).accepted
    bench.ros.wait_for(lambda: len(bench.rest.steps) >= 2)
    for name, value in fault.items():
        setattr(bench.rest, name, value)
    assert bench.wait_state(RolloutStatus.ENDED).reason == reason
    # Nothing resumes by itself.
    steps = len(bench.rest.steps)
    for name in fault:
        setattr(bench.rest, name, True)
    heard = len(bench.statuses)
    bench.ros.wait_for(lambda: len(bench.statuses) >= heard + 5)
    assert len(bench.rest.steps) == steps
    assert bench.start().reason == "NOT_READY"


def test_nothing_starts_while_something_is_missing(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.status = ExecutorStatus(
        state=ExecutorStatus.LATCHED, reason="RUNSTOP", message="pressed"
    )
    bench.wait_state(RolloutStatus.IDLE, "RUNSTOP")
    assert bench.start().reason == "NOT_READY"
    bench.rest.status = ExecutorStatus(state=ExecutorStatus.IDLE, reason="NONE")
    bench.ros.wait_for(lambda: bench.node._links.fault() is None)
    assert bench.reset().success
    bench.rest.predicting = False
    bench.ros.wait_for(lambda: bench.node._policy.not_seeing() is not None)
    assert bench.start().reason == "POLICY_LOST"
    assert bench.rest.steps == []


def test_a_reset_that_fails_says_why(bench: Bench) -> None:
    bench.rest.home_reason = "NOT_HOMED"
    answer = bench.reset()
    assert not answer.success
    assert answer.message.startswith("NOT_HOMED")
    bench.wait_state(RolloutStatus.IDLE, "NOT_HOMED")
    assert bench.start().reason == "NOT_READY"


def test_a_second_reset_is_busy(bench: Bench) -> None:
    bench.rest.release.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(bench.reset)
        bench.wait_state(RolloutStatus.RESETTING)
        second = bench.reset()
        bench.rest.release.set()
        assert first.result(20.0).success
    assert not second.success
    assert second.message.startswith("BUSY")


def test_starts_follow_from_the_seed(bench: Bench) -> None:
    for _ in range(2):
        assert bench.reset().success
    offsets = [request.offset.x for request in bench.rest.homed]
    assert offsets[0] != offsets[1]
    assert all(abs(offset) <= 0.05 for offset in offsets)
    bench.node.set_parameters([bench.node.get_parameter("seed")])
    assert bench.reset().success
    assert bench.rest.homed[-1].offset.x == offsets[0]


def test_the_operator_labels_the_last_rollout(bench: Bench) -> None:
    def label(session: str = "") -> LabelRollout.Response:
        request = LabelRollout.Request(session=session, success=True, note="by hand")
        return bench.ros.call(LabelRollout, "supervisor/label_rollout", request)

    assert not label().success
    assert bench.reset().success
    bench.start(max_steps=1)
    status = bench.wait_state(RolloutStatus.ENDED)
    assert not label("../another").success
    assert label().success
    bench.ros.wait_for(lambda: bench.statuses[-1].outcome == RolloutStatus.SUCCESS)
    kept = json.loads((bench.directory / f"{status.session}.label.json").read_text())
    assert kept == {"session": status.session, "success": True, "note": "by hand"}


def test_shutting_down_in_a_rollout_finishes_the_recording(bench: Bench) -> None:
    assert bench.reset().success
    assert bench.start(max_steps=10_000).accepted
    bench.ros.wait_for(lambda: len(bench.rest.steps) >= 2)
    began_s = time.monotonic()
    bench.node.take_down()
    assert time.monotonic() - began_s < 30.0
    (recording,) = bench.directory.glob("*.mcap")
    outcome = summarize_recording(recording).outcome
    assert outcome is not None
    assert outcome["reason"] == "OPERATOR_STOP"
