"""What another version of this software says, and what nobody thought of: ends with a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Vector3
from ros_harness import Harness
from std_srvs.srv import Trigger
from supervisor_bench import Bench
from vinn.robot.types import ReasonCode
from vinn.rollout.states import RolloutState
from vinn_ros.console.state import Board

from vinn_msgs.msg import ExecutorStatus, Neighbor, Prediction, RolloutStatus, SceneStatus

pytestmark = pytest.mark.ros


@pytest.fixture
def bench(ros: Harness, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(ros, tmp_path)
    yield bench
    bench.rest.release.set()


def run_until_steps(bench: Bench) -> None:
    assert bench.reset().success
    assert bench.start(max_steps=10_000).accepted
    steps = len(bench.rest.steps)
    bench.ros.wait_for(lambda: len(bench.rest.steps) >= steps + 2)


FOREIGN = {
    "executor: latched by a word": (
        ExecutorStatus(state=ExecutorStatus.LATCHED, reason="BEWITCHED", message="by whom"),
        "UNKNOWN",
        "BEWITCHED",
    ),
    "executor: a state of its own": (ExecutorStatus(state=9, reason="NONE"), "UNKNOWN", "9"),
    "executor: the last state there is": (ExecutorStatus(state=255, reason=""), "UNKNOWN", "255"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_an_executor_of_another_version_ends_the_rollout(bench: Bench, what: str) -> None:
    status, reason, named = FOREIGN[what]
    run_until_steps(bench)
    bench.rest.status = status
    ended = bench.wait_state(RolloutStatus.ENDED)
    assert ended.reason == reason
    assert named in ended.message
    # It is a fault like any other: cleared, reset, gone.
    bench.rest.status = ExecutorStatus(state=ExecutorStatus.IDLE, reason="NONE")
    bench.ros.wait_for(lambda: bench.node._links.fault() is None)
    run_until_steps(bench)
    assert bench.ros.call(Trigger, "supervisor/stop_rollout").success
    bench.wait_state(RolloutStatus.ENDED, "OPERATOR_STOP")


def test_a_word_beside_a_good_state_changes_nothing(bench: Bench) -> None:
    run_until_steps(bench)
    bench.rest.status = ExecutorStatus(state=ExecutorStatus.EXECUTING, reason="NEWFANGLED")
    steps = len(bench.rest.steps)
    bench.ros.wait_for(lambda: len(bench.rest.steps) >= steps + 3)
    assert bench.ros.call(Trigger, "supervisor/stop_rollout").success
    bench.wait_state(RolloutStatus.ENDED, "OPERATOR_STOP")


@pytest.mark.parametrize("scale", ["furlong", ""])
def test_a_prediction_in_another_unit_ends_the_rollout(bench: Bench, scale: str) -> None:
    run_until_steps(bench)
    steps = len(bench.rest.steps)
    bench.rest.prediction["action_scale"] = scale
    ended = bench.wait_state(RolloutStatus.ENDED, "INVALID_INPUT")
    assert repr(scale) in ended.message and "metric" in ended.message
    # One may have been under way in the old unit.
    assert len(bench.rest.steps) <= steps + 2
    bench.rest.prediction["action_scale"] = "metric"
    assert bench.reset().success


@pytest.mark.parametrize("code", ["BEWITCHED", ""])
def test_a_step_that_ends_with_another_versions_word_ends_the_rollout(
    bench: Bench, code: str
) -> None:
    run_until_steps(bench)
    bench.rest.error_code = code
    ended = bench.wait_state(RolloutStatus.ENDED, "UNKNOWN")
    assert repr(code) in ended.message


def test_a_reset_that_fails_with_another_versions_word_says_it(bench: Bench) -> None:
    bench.rest.home_reason = "BEWITCHED"
    answer = bench.reset()
    assert (answer.success, answer.message.startswith("UNKNOWN")) == (False, True)
    assert "BEWITCHED" in answer.message
    bench.wait_state(RolloutStatus.IDLE, "UNKNOWN")


@pytest.mark.parametrize(
    "place",
    ["_links.execute", "_links.check", "_policy.choose", "_rollout._recording.open"],
)
def test_whatever_happens_in_a_rollout_it_ends_and_the_next_one_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    assert bench.reset().success
    *owners, name = place.split(".")
    owner: Any = bench.node
    for part in owners:
        owner = getattr(owner, part)

    def stumble(*_: Any, **__: Any) -> Any:
        raise LookupError(f"nobody thought of {name}")

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stumble)
        assert bench.start(max_steps=5).accepted
        ended = bench.wait_state(RolloutStatus.ENDED, "INTERNAL_ERROR")
    assert f"nobody thought of {name}" in ended.message
    assert bench.reset().success
    assert bench.start(max_steps=2).accepted
    bench.wait_state(RolloutStatus.ENDED, "STEP_LIMIT")


def test_whatever_happens_in_a_reset_the_next_one_is_the_same_trial(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: Any) -> Any:
        raise LookupError("nobody thought of that")

    with monkeypatch.context() as patch:
        patch.setattr(bench.node._reset, "run", stumble)
        answer = bench.reset()
    assert (answer.success, answer.message.partition(":")[0]) == (False, "INTERNAL_ERROR")
    bench.wait_state(RolloutStatus.IDLE, "INTERNAL_ERROR")
    assert "trial 0" in bench.reset().message


def test_only_a_reset_that_succeeds_uses_up_a_start_pose(bench: Bench) -> None:
    rng = np.random.default_rng(0)
    trial = 0
    for _ in range(8):
        bench.rest.home_reason = str(rng.choice(["NONE", "STALLED", "NOT_HOMED"]))
        answer = bench.reset()
        if answer.success:
            assert answer.message.startswith(f"trial {trial},")
            trial += 1
    offsets = [request.offset.x for request in bench.rest.homed]
    assert len(set(offsets)) == trial + (bench.rest.home_reason != "NONE")


def test_long_names_and_notes_are_refused(bench: Bench) -> None:
    from vinn_msgs.srv import LabelRollout

    assert bench.reset().success
    answer = bench.start(name="x" * 201)
    assert (answer.accepted, answer.reason) == (False, "INVALID_INPUT")
    assert "201 characters; allowed: 200" in answer.message
    assert bench.start(max_steps=1, name="x" * 200).accepted
    bench.wait_state(RolloutStatus.ENDED)
    label = LabelRollout.Request(success=True, note="n" * 2001)
    assert not bench.ros.call(LabelRollout, "supervisor/label_rollout", label).success
    label.note = "n" * 2000
    assert bench.ros.call(LabelRollout, "supervisor/label_rollout", label).success


# What the console is told


def _numbers(rng: np.random.Generator) -> float:
    wild = (math.nan, math.inf, -math.inf, 0.0, -1.0, 3.4e38)
    return float(rng.choice([*wild, rng.normal()]))


@pytest.mark.parametrize("seed", range(20))
def test_the_board_takes_every_number_and_stays_json(seed: int) -> None:
    rng = np.random.default_rng(seed)
    byte = int(rng.integers(0, 256))

    def vector() -> Vector3:
        return Vector3(x=_numbers(rng), y=_numbers(rng), z=_numbers(rng))

    board = Board()
    board.take_supervisor(
        RolloutStatus(state=byte, outcome=int(rng.integers(0, 256)), elapsed_s=_numbers(rng))
    )
    board.take_executor(
        ExecutorStatus(state=byte, requested_base_delta=vector(), sent_base_delta=vector())
    )
    board.take_scene(SceneStatus(door_angle_rad=_numbers(rng)))
    neighbor = Neighbor(distance=_numbers(rng), weight=_numbers(rng), gripper_state=byte)
    board.take_prediction(
        Prediction(
            camera_delta=vector(),
            gripper_value=_numbers(rng),
            novelty=_numbers(rng),
            image_age_s=_numbers(rng),
            encode_latency_s=_numbers(rng),
            action_scale="furlong",
            neighbors=[neighbor],
        )
    )
    array = DiagnosticArray(status=[DiagnosticStatus(level=bytes([byte]), name="n")])
    board.take_diagnostics(array)
    snapshot = board.snapshot()
    json.dumps(snapshot, allow_nan=False)
    known = byte in list(RolloutState)
    assert snapshot["supervisor"]["state"] == (
        RolloutState(byte).name if known else f"state {byte}"
    )


def test_every_reason_names_itself_and_no_other_word_does() -> None:
    assert all(ReasonCode.of(reason.value) is reason for reason in ReasonCode)
    for word in ("", "none", "RUNSTOP ", "of", "__class__"):
        assert ReasonCode.of(word) is ReasonCode.UNKNOWN
