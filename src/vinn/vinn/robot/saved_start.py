"""The start pose an operator saved: joints that outlive the program, a base pose that does not.

Odometry begins anew with the robot's driver, so a base pose from an earlier run means nothing and
is never read back: it would send the robot somewhere else.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from vinn.demos.files import atomic_file
from vinn.errors import ConfigError
from vinn.reading.config_file import load_config
from vinn.robot.config import StartPose
from vinn.robot.types import RobotState

_BASE = {"base_x_m", "base_y_m", "base_theta_rad"}


def start_pose_of(state: RobotState) -> StartPose:
    """Where the robot stands now, base pose by odometry included."""
    return StartPose(
        lift_m=max(0.0, state.lift_m),
        arm_m=max(0.0, state.arm_m),
        wrist_yaw_rad=state.wrist_yaw_rad,
        wrist_pitch_rad=state.wrist_pitch_rad,
        wrist_roll_rad=state.wrist_roll_rad,
        base_x_m=state.base_x_m,
        base_y_m=state.base_y_m,
        base_theta_rad=state.base_theta_rad,
    )


def save_start_pose(path: Path, pose: StartPose) -> None:
    """Write the joints of `pose`, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    content = {name: round(v, 5) for name, v in pose.model_dump(exclude=_BASE).items()}
    text = "# Saved by the operator: where rollouts start (executor/save_start).\n"
    text += yaml.safe_dump(content, sort_keys=False)
    with atomic_file(path, ConfigError) as file:
        file.write(text.encode())


def load_start_pose(path: Path) -> StartPose | None:
    """The joints that were saved; None: none were.

    Raises:
        ConfigError: the file is malformed.
    """
    if not path.exists():
        return None
    return load_config(path, StartPose).model_copy(update=dict.fromkeys(_BASE))
