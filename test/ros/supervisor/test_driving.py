"""The operator drives: a rollout by hand, taking over in its midst, and what is refused."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from geometry_msgs.msg import Vector3
from ros_harness import Harness
from std_srvs.srv import SetBool, Trigger
from supervisor_bench import Bench, FakeRest
from vinn.rollout.reader import summarize_recording
from vinn.viz.timeline import load_timeline

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import DriveStep, StartRollout

pytestmark = pytest.mark.ros

OPEN, CLOSE = DriveStep.Request.OPEN, DriveStep.Request.CLOSE


class Wheel:
    """The operator's hand on a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.pool = ThreadPoolExecutor(4)

    def start(self, driven: bool = True, max_steps: int = 100, hold: bool = False) -> str:
        """A rollout; `hold`: its first step does not end by itself."""
        assert self.bench.reset().success
        if hold:
            self.bench.rest.release.clear()
        request = StartRollout.Request(max_steps=max_steps, driven=driven)
        answer = self.bench.ros.call(StartRollout, "supervisor/start_rollout", request)
        assert answer.accepted, answer.message
        return str(answer.session)

    def drive(self, delta: tuple[float, float, float] = (0.0, 0.0, 0.02), **given: Any) -> Any:
        status = self.bench.node._status
        fields = {"session": status.session, "after_step": status.step, "gripper": OPEN, **given}
        x, y, z = delta
        request = DriveStep.Request(camera_delta=Vector3(x=x, y=y, z=z), **fields)
        return self.bench.ros.call(DriveStep, "supervisor/drive", request)

    def driving(self, **given: Any) -> Future[Any]:
        return self.pool.submit(self.drive, **given)

    def take_over(self, mine: bool) -> Any:
        request = SetBool.Request(data=mine)
        return self.bench.ros.call(SetBool, "supervisor/take_over", request)

    def stop(self) -> RolloutStatus:
        assert self.bench.ros.call(Trigger, "supervisor/stop_rollout").success
        return self.bench.wait_state(RolloutStatus.ENDED)


class Obedient(FakeRest):
    """Its executor ends a step that is cancelled or stopped, as the real one does."""

    def _stop(self, request: Any, response: Any) -> Any:
        self.stops += 1
        response.success = True
        return response

    def _step(self, goal: Any) -> ExecuteStep.Result:
        self.steps.append(goal.request)
        stops = self.stops
        while not self.release.wait(0.02):
            if goal.is_cancel_requested or self.stops > stops:
                goal.canceled() if goal.is_cancel_requested else goal.abort()
                result = ExecuteStep.Result(error_code="OPERATOR_STOP")
                result.sent.arm_m = 0.1
                self.taken_step = goal.request.sequence
                return result
        goal.succeed()
        result = ExecuteStep.Result(error_code=self.error_code)
        result.sent.arm_m, result.attempt = 0.1, 1
        self.taken_step = goal.request.sequence
        return result


@pytest.fixture
def wheel(ros: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wheel]:
    monkeypatch.setattr("supervisor_bench.FakeRest", Obedient)
    bench = Bench(ros, tmp_path)
    yield Wheel(bench)
    bench.rest.release.set()


def test_a_rollout_by_hand_needs_no_policy_and_is_recorded(wheel: Wheel) -> None:
    bench = wheel.bench
    bench.rest.predicting = False
    session = wheel.start()
    assert bench.wait_state(RolloutStatus.RUNNING).driven
    for number, (delta, gripper) in enumerate(
        [((0.0, 0.0, 0.02), OPEN), ((-0.01, 0.005, 0.0), OPEN), ((0.0, 0.0, 0.0), CLOSE)], 1
    ):
        answer = wheel.drive(delta, gripper=gripper)
        assert (answer.success, answer.reason) == (True, "NONE")
        goal = bench.rest.steps[-1]
        assert (goal.session, goal.sequence, goal.driven) == (session, number, True)
        said = goal.prediction
        assert (said.camera_delta.x, said.camera_delta.y, said.camera_delta.z) == delta
        assert (said.gripper_value, said.action_scale) == (3.0 * gripper, "metric")
        assert 0.0 <= said.image_age_s < 0.5
    status = wheel.stop()
    assert (status.step, status.driven) == (3, False)
    summary = summarize_recording(status.recording)
    assert summary.outcome is not None
    assert (summary.outcome["steps"], summary.outcome["driven_steps"]) == ("3", "3")
    timeline = load_timeline(Path(status.recording))
    assert [asked.sequence for asked in timeline.driven] == [1, 2, 3]
    assert all(timeline.image_of(asked) is not None for asked in timeline.driven)


def test_what_is_refused_moves_nothing(wheel: Wheel) -> None:
    bench = wheel.bench
    assert wheel.drive(session="none").reason == "NOT_READY"
    assert not wheel.take_over(True).success
    wheel.start()
    for given, reason in (
        ({"session": "another"}, "WRONG_SESSION"),
        ({"after_step": 7}, "OUT_OF_ORDER"),
        ({"gripper": 2}, "INVALID_INPUT"),
        ({"delta": (math.nan, 0.0, 0.0)}, "INVALID_INPUT"),
        ({"delta": (0.0, math.inf, 0.0)}, "INVALID_INPUT"),
        ({"delta": (0.0, 0.15, 0.15)}, "INVALID_INPUT"),
    ):
        answer = wheel.drive(**given)
        assert (answer.success, answer.reason) == (False, reason), given
    assert bench.rest.steps == []
    # The same step twice, as after a late answer, is one step.
    assert wheel.drive().success
    assert wheel.drive(after_step=0).reason == "OUT_OF_ORDER"
    assert len(bench.rest.steps) == 1


def test_one_step_at_a_time_and_none_is_kept(wheel: Wheel) -> None:
    bench = wheel.bench
    wheel.start()
    bench.rest.release.clear()
    first = wheel.driving()
    bench.ros.wait_for(lambda: len(bench.rest.steps) == 1)
    assert wheel.drive().reason == "BUSY"
    bench.rest.release.set()
    assert first.result(20.0).success
    bench.ros.wait_for(lambda: bench.node._driving._waiting)
    assert len(bench.rest.steps) == 1


def test_taking_over_cuts_the_policys_step_short_and_handing_back_goes_on(wheel: Wheel) -> None:
    bench = wheel.bench
    wheel.start(driven=False, max_steps=6, hold=True)
    bench.ros.wait_for(lambda: len(bench.rest.steps) == 1)
    assert wheel.drive().reason == "NOT_READY"  # the policy has control
    assert wheel.take_over(True).success
    bench.ros.wait_for(lambda: bench.node._driving._waiting)
    assert bench.wait_state(RolloutStatus.RUNNING).driven
    bench.rest.release.set()
    assert wheel.drive((0.01, 0.0, 0.0)).success
    # While the operator thinks, the policy moves nothing.
    bench.ros.wait_for(lambda: bench.node._driving._waiting)
    assert [goal.driven for goal in bench.rest.steps] == [False, True]
    assert wheel.take_over(False).success
    status = bench.wait_state(RolloutStatus.ENDED)
    assert (status.reason, status.step) == ("STEP_LIMIT", 6)
    assert [goal.driven for goal in bench.rest.steps] == [False, True, *[False] * 4]
    (asked,) = load_timeline(Path(status.recording)).driven
    assert (asked.sequence, asked.prediction.camera_delta.tolist()) == (2, [0.01, 0.0, 0.0])
    summary = summarize_recording(status.recording)
    assert summary.outcome is not None
    assert summary.outcome["driven_steps"] == "1"


def test_control_does_not_go_to_a_policy_that_is_not_there(wheel: Wheel) -> None:
    wheel.bench.rest.predicting = False
    wheel.start()
    wheel.bench.ros.wait_for(lambda: wheel.bench.node._policy.not_seeing() is not None)
    answer = wheel.take_over(False)
    assert not answer.success
    assert answer.message.startswith("POLICY_LOST")
    assert wheel.drive().success


def test_a_camera_that_falls_silent_ends_it(wheel: Wheel) -> None:
    wheel.start()
    wheel.bench.rest.seeing = False
    status = wheel.bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "CAMERA_STALE"
    assert wheel.drive().reason == "NOT_READY"
    assert wheel.bench.rest.steps == []


def test_a_stop_ends_the_step_and_tells_who_drives(wheel: Wheel) -> None:
    bench = wheel.bench
    wheel.start()
    bench.rest.release.clear()
    answer = wheel.driving()
    bench.ros.wait_for(lambda: len(bench.rest.steps) == 1)
    status = wheel.stop()
    assert status.reason == "OPERATOR_STOP"
    told = answer.result(20.0)
    assert (told.success, told.reason) == (False, "OPERATOR_STOP")
    assert bench.rest.stops >= 1


@pytest.mark.parametrize(
    ("code", "goes_on"), [("UNREACHABLE", True), ("SELF_COLLISION", True), ("RUNSTOP", False)]
)
def test_where_the_arm_goes_no_further_the_operator_is_told(
    wheel: Wheel, code: str, goes_on: bool
) -> None:
    wheel.bench.rest.error_code = code
    wheel.start()
    for _ in range(5 if goes_on else 1):
        answer = wheel.drive()
        assert (answer.success, answer.reason) == (False, code)
    if goes_on:
        wheel.bench.rest.error_code = "NONE"
        assert wheel.drive().success
        assert wheel.stop().reason == "OPERATOR_STOP"
    else:
        assert wheel.bench.wait_state(RolloutStatus.ENDED).reason == code


def test_many_hands_move_the_arm_once(wheel: Wheel) -> None:
    """Two operators, or a page that sends again: of many equal requests one is done."""
    wheel.start()
    ready = threading.Barrier(4)

    def press() -> Any:
        ready.wait()
        return wheel.drive(after_step=0)

    answers = [future.result(30.0) for future in [wheel.pool.submit(press) for _ in range(4)]]
    assert sum(answer.success for answer in answers) == 1
    assert len(wheel.bench.rest.steps) == 1
    assert {answer.reason for answer in answers} <= {"NONE", "BUSY", "OUT_OF_ORDER"}
