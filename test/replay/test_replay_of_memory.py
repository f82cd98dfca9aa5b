"""Replay of policies with memory: each prediction knows again of the steps it knew of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_stretch import FakeStretch
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.demos.frames import decode_jpeg, encode_jpeg
from vinn.policies.artefact import load_policy
from vinn.policies.build import build_policy
from vinn.policies.episode import Episode, Position
from vinn.policies.features import Features
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.progress import ProgressSettings
from vinn.policies.types import GraspPoint
from vinn.recordings.replay import SAME_ACTION, replay_recording
from vinn.robot.config import RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import StepRequest
from vinn.rollout import messages
from vinn.rollout.recorder import RolloutRecorder
from vinn.rollout.step_report import step_report
from vinn.viz.timeline import load_timeline

STEPS = 9
START_NS = 1_700_000_000_000_000_000
POINT = GraspPoint(
    np.array([0.01, 1 / 3, 0.2]), np.array([0.01, 0.02, 0.05]), np.array([0.5, 0.25])
)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("memory")
    dataset, encoder = write_square_demos(root / "demos"), write_tiny_encoder(root / "encoder")
    prior = ProgressSettings(width=0.1, floor=0.05)
    both = build_policy(dataset, encoder, root / "both", k=3, features=Features(2), progress=prior)
    return {
        "open loop": OPEN_LOOP.build(BuildRequest(dataset, root / "open_loop")),
        "context": build_policy(dataset, encoder, root / "context", k=3, features=Features(3)),
        "both": both,
    }


class Recording:
    """What nodes leave of a rollout: several frames per step, of which one is acted on."""

    def __init__(self, path: Path, seed: int) -> None:
        self.recorder = RolloutRecorder(path)
        self.now_ns = START_NS
        self.rng = np.random.default_rng(seed)

    def write(self, topic: str, kind: str, fields: dict[str, Any]) -> None:
        self.now_ns += 1_000_000
        # An older version has fewer fields.
        known = {name for name, _ in messages.typestore().fielddefs[kind][1]}
        fields = {name: value for name, value in fields.items() if name in known}
        self.recorder.write_message(f"/{topic}", kind, fields, self.now_ns)

    def make(self, policy_dir: Path, old: bool = False) -> None:
        """Old: one frame per step, as trials were recorded then."""
        episode = Episode(load_policy(policy_dir))
        robot, config = FakeStretch(), RobotConfig()
        executor = StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)
        executor.begin_session("s")
        number = 0
        if not old:
            self.frame(episode, number := number + 1)
        episode.tell_session("s")
        for sequence in range(1, STEPS + 1):
            for _ in range(1 if old else int(self.rng.integers(1, 5))):
                number += 1
                prediction = self.frame(episode, number)
            chosen = number
            if not old:  # not the newest one: another arrived meanwhile
                self.frame(episode, number := number + 1)
            self.executor({"state": 1, "session": "s", "sequence": sequence})
            request = StepRequest(
                "s",
                sequence,
                prediction.camera_delta,
                prediction.gripper_value,
                prediction.gripper_probabilities,
            )
            result = executor.execute(request)
            taken = messages.taken_step_fields(result, executor.tally, chosen)
            status = {"sequence": sequence, "gripper_closed": result.gripper_closed, **taken}
            for _ in range(2):
                self.executor(status)
            if not old:  # a frame comes before the policy has heard of the step
                self.frame(episode, number := number + 1)
            report = step_report(SimpleNamespace(**{**status, **_vectors(status)}))
            assert report is not None
            episode.tell_step(report)
        self.recorder.close({"reason": "SUCCESS"})

    def frame(self, episode: Episode, number: int) -> Any:
        jpeg = encode_jpeg(square_image(*self.rng.uniform(size=2)))
        topic, kind = "wrist_camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage"
        self.write(topic, kind, messages.image_fields(jpeg, self.now_ns, "camera"))
        stamp_ns = self.now_ns - 1_000_000
        prediction = episode.predict(decode_jpeg(jpeg, "frame"), number)
        prediction = replace(prediction, grasp_point=POINT if number % 2 else None)
        fields = messages.prediction_fields(
            prediction, number, "p", stamp_ns, "camera", episode.position
        )
        self.write("policy/prediction", "vinn_msgs/msg/Prediction", fields)
        return prediction

    def executor(self, fields: dict[str, Any]) -> None:
        self.write("executor/status", "vinn_msgs/msg/ExecutorStatus", {"reason": "NONE", **fields})


def _vectors(fields: dict[str, Any]) -> dict[str, Any]:
    """As attributes, what is given as mappings."""
    return {n: SimpleNamespace(**value) for n, value in fields.items() if isinstance(value, dict)}


@pytest.mark.parametrize("name", ["open loop", "context", "both"])
def test_the_recorded_memory_is_the_replayed_one(
    policies: dict[str, Path], name: str, tmp_path: Path
) -> None:
    for seed in range(3):
        path = tmp_path / f"{seed}.mcap"
        Recording(path, seed).make(policies[name])
        replay = replay_recording(path, load_policy(policies[name]))
        assert replay.summary().max_action_difference <= SAME_ACTION
        positions = [row.recorded.position for row in replay.rows]
        assert positions[0] == Position()
        assert {p.step for p in positions if p and p.session} == set(range(STEPS + 1)) - {STEPS}
        # The test means something: without the steps it would say something else.
        forgetful = load_policy(policies[name])
        off = [
            np.abs(forgetful.predict(_image(replay.timeline, row)).camera_delta
                   - row.recorded.prediction.camera_delta).max()
            for row in replay.rows
        ]  # fmt: skip
        assert max(off) > 100 * SAME_ACTION


def _image(timeline: Any, row: Any) -> np.ndarray:
    image = timeline.image_of(row.recorded)
    assert image is not None
    return image.decode()


def test_a_recording_names_the_prediction_of_each_step_and_its_grasp_point(
    policies: dict[str, Path], tmp_path: Path
) -> None:
    Recording(tmp_path / "r.mcap", 0).make(policies["context"])
    timeline = load_timeline(tmp_path / "r.mcap")
    assert [r.step for r in timeline.reports] == list(range(1, STEPS + 1))
    pairs = timeline.steps_with_predictions()
    assert [step.sequence for step, _ in pairs] == list(range(1, STEPS + 1))
    numbers = [report.prediction_sequence for report in timeline.reports]
    assert [prediction.sequence for _, prediction in pairs] == numbers
    for recorded in timeline.predictions:
        point = recorded.prediction.grasp_point
        assert (point is not None) == bool(recorded.sequence % 2)
        if point is not None:
            assert (point.camera_delta == POINT.camera_delta).all()
            assert (point.std == POINT.std).all()
            np.testing.assert_allclose(point.image_uv, POINT.image_uv, atol=1e-7)


NEW_FIELDS = {
    "vinn_msgs/msg/Prediction": ("session", "after_step", "refusal", "grasp_point"),
    "vinn_msgs/msg/ExecutorStatus": (
        "taken_step",
        "steps_taken",
        "prediction_sequence",
        "camera_delta",
        "travelled_camera",
        "gripper_aperture_m",
        "missed",
        "attempt",
    ),
    "vinn_msgs/msg/RolloutStatus": ("attempts",),
}


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Messages as they were before predictions knew of steps."""
    older = {
        name: "\n".join(
            line
            for line in text.splitlines()
            if name not in NEW_FIELDS
            or (
                not any(
                    f" {field}" in f" {line.partition('#')[0]}" and not line.startswith("#")
                    for field in NEW_FIELDS[name]
                    if not (field == "camera_delta" and name.endswith("Prediction"))
                )
                and "has_grasp_point" not in line
            )
        )
        for name, text in messages._own_definitions().items()
    }
    caches = (messages.typestore, messages.definition)
    for cache in caches:
        cache.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(messages, "_own_definitions", lambda: older)
        yield
    for cache in caches:
        cache.cache_clear()


def test_a_recording_from_before_still_reads_and_replays(
    policies: dict[str, Path], as_before: None, tmp_path: Path
) -> None:
    names = {name for name, _ in messages.typestore().fielddefs["vinn_msgs/msg/Prediction"][1]}
    assert "camera_delta" in names and "after_step" not in names
    Recording(tmp_path / "old.mcap", 1).make(policies["open loop"], old=True)
    timeline = load_timeline(tmp_path / "old.mcap")
    assert timeline.reports == []
    assert {p.position for p in timeline.predictions} == {None}
    assert all(p.prediction.grasp_point is None for p in timeline.predictions)
    replay = replay_recording(tmp_path / "old.mcap", load_policy(policies["open loop"]))
    assert replay.summary().max_action_difference <= SAME_ACTION
