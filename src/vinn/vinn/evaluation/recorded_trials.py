"""A closed-loop trial that leaves a recording, as the nodes do: to see why it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import decode_jpeg, encode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.evaluation.trials import SESSION, StopAt, TrialResult, run_trial
from vinn.policies.episode import Position
from vinn.policies.types import Policy, Prediction, SeededPolicy, TakenStep
from vinn.robot.config import RobotConfig
from vinn.robot.session import SessionTally
from vinn.robot.types import ReasonCode
from vinn.rollout.config import RolloutConfig
from vinn.rollout.loop import StepRecord
from vinn.rollout.messages import (
    header_fields,
    image_fields,
    prediction_fields,
    taken_step_fields,
    vector_fields,
)
from vinn.rollout.recorder import RolloutRecorder
from vinn.sim.world import DoorWorld

_EPOCH_NS = 1_700_000_000_000_000_000
"""Where simulated time 0 lies: any moment will do."""
_IDLE, _EXECUTING, _RUNNING = 0, 1, 3
_STEP_NS = 1_000_000


def recordings_folder(folder: Path) -> Path:
    """The new folder for a recording of each trial.

    Raises:
        ConfigError: it cannot be made, or something is in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as cause:
        raise ConfigError(f"recordings: {folder}: {cause.strerror}") from cause
    if used:
        raise ConfigError(f"recordings: {folder}: not empty; name a new folder")
    return folder


def record_trial(
    policy: Policy,
    world: DoorWorld,
    path: Path,
    policy_dir: Path | None = None,
    trial: int = 0,
    stop_at: StopAt = StopAt.FULLY_OPENED,
    rollout: RolloutConfig | None = None,
    robot: RobotConfig | None = None,
) -> TrialResult:
    """Run one trial in a world that was just reset, and record it.

    The policy sees the recorded JPEG, as it does on a robot: a replay says the same.

    Args:
        policy: is reset first.
        world: just reset.
        path: recording to write, `*.mcap`; must not exist.
        policy_dir: the policy's artefact, so that pages find its demonstrations' pictures.
        trial: number in its scene.
        stop_at: when it ends as a success.
        rollout: see `run_trials`.
        robot: see `run_trials`.

    Raises:
        DatasetError: the recording cannot be written.
        ConfigError: see `run_trial`.
    """
    with watched_rollout(policy, path, policy_dir, _WatchedDoor(world)) as watched:
        result = run_trial(
            watched, world, trial, rollout, robot, stop_at, on_step=watched.step_ended
        )
        watched.ended(result.reason, result.steps, result.attempts)
    return result


class WatchedScene(Protocol):
    """What is simulated, as a recording tells of it."""

    @property
    def now_s(self) -> float:
        """Simulated time, 0 at the start."""

    def onlooker_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB from beside."""

    def messages(self, stamp_ns: int) -> list[tuple[str, str, dict[str, Any]]]:
        """Topic, type and fields of what there is to say of the scene itself."""


@contextmanager
def watched_rollout(
    policy: Policy, path: Path, policy_dir: Path | None, scene: WatchedScene
) -> Iterator[WatchedPolicy]:
    """A policy whose rollout is recorded to `path`: see `record_trial`.

    Raises:
        DatasetError: the recording cannot be written.
    """
    info = {
        "session": path.stem,
        "name": path.stem,
        "policy": policy_dir.name if policy_dir else "",
    }
    with RolloutRecorder(path, info) as recorder:
        if policy_dir is not None:
            recorder.write_parameters({"vinn_policy.policy": str(policy_dir.resolve())})
        yield WatchedPolicy(policy, recorder, scene)


class WatchedPolicy:
    """A policy whose predictions are recorded, with what the scene is like at that moment."""

    def __init__(self, policy: Policy, recorder: RolloutRecorder, scene: WatchedScene) -> None:
        self._policy, self._recorder, self._watched_scene = policy, recorder, scene
        self._sequence = 0
        self._tally = SessionTally(SESSION)
        self._taken: dict[str, Any] = {}
        self._newest_ns = _EPOCH_NS

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy`."""
        return self._policy.action_scale

    def reset(self) -> None:
        """See `Policy`."""
        self._policy.reset()

    def seed_episode(self, seed: int) -> None:
        """See `SeededPolicy`."""
        if isinstance(self._policy, SeededPolicy):
            self._policy.seed_episode(seed)

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy`."""
        jpeg = encode_jpeg(image_rgb)
        stamp_ns = self._now_ns()
        self._scene()
        image = image_fields(jpeg, stamp_ns, "wrist_camera")
        self._write("wrist_camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", image)
        seen = encode_jpeg(self._watched_scene.onlooker_image())
        overview = image_fields(seen, stamp_ns, "overview")
        self._write(
            "overview_camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", overview
        )
        prediction = self._policy.predict(decode_jpeg(jpeg, "wrist image"))
        self._sequence += 1
        position = Position(SESSION, self._tally.taken_step)
        fields = prediction_fields(
            prediction, self._sequence, "", stamp_ns, "wrist_camera", position
        )
        self._write("policy/prediction", "vinn_msgs/msg/Prediction", fields)
        self._executor(_EXECUTING, {"gripper_value": prediction.gripper_value})
        return prediction

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """See `Policy`."""
        self._policy.advance(prediction, step)

    def step_ended(self, record: StepRecord) -> None:
        """Keep what became of a step."""
        said: dict[str, Any] = {"reason": record.reason.value, "message": record.message}
        result = record.result
        if result is not None:
            said |= {
                "requested_base_delta": vector_fields(result.requested_base_delta_m),
                "sent_base_delta": vector_fields(result.sent_base_delta_m),
                "gripper_closed": bool(result.gripper_closed),
            }
            self._tally = replace(self._tally, last_sequence=record.sequence).after(result)
            if result.sent is not None:
                self._taken = taken_step_fields(result, self._tally, self._sequence)
        self._executor(_IDLE, said)
        self._scene()

    def ended(self, reason: ReasonCode, steps: int, attempts: int | None) -> None:
        """Close the recording with how the rollout ended."""
        self._recorder.close(
            {"reason": reason.value, "steps": str(steps), "attempts": str(attempts)}
        )

    def _scene(self) -> None:
        for topic, type_name, fields in self._watched_scene.messages(self._now_ns()):
            self._write(topic, type_name, fields)
        self._write(
            "supervisor/status",
            "vinn_msgs/msg/RolloutStatus",
            {"header": header_fields(self._now_ns()), "state": _RUNNING, "step": self._sequence},
        )

    def _executor(self, state: int, fields: dict[str, Any]) -> None:
        self._write(
            "executor/status",
            "vinn_msgs/msg/ExecutorStatus",
            {
                "header": header_fields(self._now_ns()),
                "state": state,
                "sequence": self._sequence,
                "reason": "NONE",
                **self._taken,
                **fields,
            },
        )

    def _now_ns(self) -> int:
        return _EPOCH_NS + round(self._watched_scene.now_s * 1e9)

    def _write(self, topic: str, type_name: str, fields: dict[str, Any]) -> None:
        # Time stands still while the policy thinks; messages keep their order all the same.
        self._newest_ns = max(self._newest_ns + _STEP_NS, self._now_ns())
        self._recorder.write_message(f"/{topic}", type_name, fields, self._newest_ns)


class _WatchedDoor:
    """The cabinet and the robot before it."""

    def __init__(self, world: DoorWorld) -> None:
        self._world = world

    @property
    def now_s(self) -> float:
        """See `WatchedScene`."""
        return self._world.time_s

    def onlooker_image(self) -> NDArray[np.uint8]:
        """See `WatchedScene`."""
        return self._world.overview_image()

    def messages(self, stamp_ns: int) -> list[tuple[str, str, dict[str, Any]]]:
        """See `WatchedScene`."""
        world = self._world
        joints = world.joint_positions()
        state = {
            "header": header_fields(stamp_ns),
            "name": list(joints),
            "position": list(joints.values()),
        }
        status = {
            "header": header_fields(stamp_ns),
            "cabinet": world.scene.cabinet.name,
            "occlusion": world.scene.occlusion.value,
            "door_angle_rad": world.door_angle_rad,
            "grasped": world.grasped,
            "opened": world.opened,
            "fully_opened": world.fully_opened,
        }
        return [
            ("stretch/joint_states", "sensor_msgs/msg/JointState", state),
            ("scene/status", "vinn_msgs/msg/SceneStatus", status),
        ]
