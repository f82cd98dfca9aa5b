"""A closed-loop trial that leaves a recording, as the nodes do: to see why it failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import decode_jpeg, encode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.evaluation.trials import SESSION, RunTrial, StopAt, TrialResult, run_trial
from vinn.policies.episode import Position
from vinn.policies.types import Policy, Prediction, TakenStep
from vinn.robot.config import RobotConfig
from vinn.robot.session import SessionTally
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


def recording_trials(folder: Path, policy_dir: Path | None = None) -> RunTrial:
    """What records each trial of `run_trials` as CABINET-NUMBER.mcap.

    Args:
        folder: must not exist, or be empty; is made.
        policy_dir: as in `record_trial`.

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

    def run_one(
        policy: Policy,
        world: DoorWorld,
        trial: int,
        rollout: RolloutConfig | None,
        robot: RobotConfig | None,
        stop_at: StopAt,
    ) -> TrialResult:
        path = folder / f"{world.scene.cabinet.name}-{trial:03d}.mcap"
        return record_trial(policy, world, path, policy_dir, trial, stop_at, rollout, robot)

    return run_one


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
    info = {
        "session": path.stem,
        "name": path.stem,
        "policy": policy_dir.name if policy_dir else "",
    }
    with RolloutRecorder(path, info) as recorder:
        if policy_dir is not None:
            recorder.write_parameters({"vinn_policy.policy": str(policy_dir.resolve())})
        watched = _Watched(policy, world, recorder)
        result = run_trial(
            watched, world, trial, rollout, robot, stop_at, on_step=watched.step_ended
        )
        recorder.close(
            {
                "reason": result.reason.value,
                "steps": str(result.steps),
                "attempts": str(result.attempts),
            }
        )
    return result


class _Watched:
    """A policy whose predictions are recorded, with what the world is like at that moment."""

    def __init__(self, policy: Policy, world: DoorWorld, recorder: RolloutRecorder) -> None:
        self._policy, self._world, self._recorder = policy, world, recorder
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

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """See `Policy`."""
        jpeg = encode_jpeg(image_rgb)
        stamp_ns = self._now_ns()
        self._scene()
        image = image_fields(jpeg, stamp_ns, "wrist_camera")
        self._write("wrist_camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", image)
        overview = image_fields(encode_jpeg(self._world.overview_image()), stamp_ns, "overview")
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

    def _scene(self) -> None:
        world = self._world
        joints = world.joint_positions()
        self._write(
            "stretch/joint_states",
            "sensor_msgs/msg/JointState",
            {
                "header": header_fields(self._now_ns()),
                "name": list(joints),
                "position": list(joints.values()),
            },
        )
        self._write(
            "scene/status",
            "vinn_msgs/msg/SceneStatus",
            {
                "header": header_fields(self._now_ns()),
                "cabinet": world.scene.cabinet.name,
                "occlusion": world.scene.occlusion.value,
                "door_angle_rad": world.door_angle_rad,
                "grasped": world.grasped,
                "opened": world.opened,
                "fully_opened": world.fully_opened,
            },
        )
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
        return _EPOCH_NS + round(self._world.time_s * 1e9)

    def _write(self, topic: str, type_name: str, fields: dict[str, Any]) -> None:
        # Time stands still while the policy thinks; messages keep their order all the same.
        self._newest_ns = max(self._newest_ns + _STEP_NS, self._now_ns())
        self._recorder.write_message(f"/{topic}", type_name, fields, self._newest_ns)
