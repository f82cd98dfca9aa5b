"""What is simulated: the configuration of a scene.

Cabinet frame: x right, y forward (into the cabinet), z up as the robot sees it; its origin is the
middle of the handle when the door is closed.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.robot.config import StartPose, ToolProfile
from vinn.robot.kinematics import base_T_gripper
from vinn.sim.cabinets import CABINETS, CabinetParameters
from vinn.sim.difficulty import DIFFICULTIES, Difficulty
from vinn.sim.stretch_model import WristCamera


class Occlusion(str, Enum):
    """What is covered with plain material, as in the paper's Table II."""

    NONE = "none"
    SIGNS_HANDLE = "signs_handle"
    SIGNS_HANDLE_ONE_BIN = "signs_handle_one_bin"
    SIGNS_HANDLE_BOTH_BINS = "signs_handle_both_bins"

    @property
    def covered_bins(self) -> int:
        """How many of the two bins are covered."""
        return {Occlusion.SIGNS_HANDLE_ONE_BIN: 1, Occlusion.SIGNS_HANDLE_BOTH_BINS: 2}.get(self, 0)


class JointSpeeds(BaseModel):
    """Speeds at which joint targets are approached: the real driver's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    base_m_s: float = Field(default=0.12, gt=0.0, le=1.0)
    base_rad_s: float = Field(default=0.5, gt=0.0, le=3.0)
    lift_m_s: float = Field(default=0.11, gt=0.0, le=1.0)
    arm_m_s: float = Field(default=0.14, gt=0.0, le=1.0)
    wrist_rad_s: float = Field(default=1.0, gt=0.0, le=6.0)
    gripper_m_s: float = Field(default=0.15, gt=0.0, le=1.0)


class SceneConfig(BaseModel):
    """What is simulated."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cabinet: CabinetParameters = CABINETS["oak"]
    difficulty: Difficulty = DIFFICULTIES["easy"]
    occlusion: Occlusion = Occlusion.NONE
    camera: WristCamera = WristCamera()
    tool: ToolProfile = ToolProfile()
    start_pose: StartPose = StartPose(arm_m=0.30)
    """Far enough out that the arm can pull the door open, with reach left to the handle."""
    start_distance_m: float = Field(default=0.15, ge=0.05, le=0.4)
    """From the point between the finger tips to the handle at the nominal start (paper)."""
    speeds: JointSpeeds = JointSpeeds()

    def world_T_cabinet(self) -> NDArray[np.float64]:
        """(4, 4) pose of the cabinet frame; the robot's base starts at the world's origin."""
        start = self.start_pose
        pose = base_T_gripper(
            start.lift_m,
            start.arm_m,
            start.wrist_yaw_rad,
            start.wrist_pitch_rad,
            start.wrist_roll_rad,
            self.tool.geometry,
        )
        forward = np.array([pose[0, 1], pose[1, 1], 0.0])
        forward /= np.linalg.norm(forward)
        up = np.array([0.0, 0.0, 1.0])
        cabinet = np.eye(4)
        cabinet[:3, :3] = np.column_stack([np.cross(forward, up), forward, up])
        cabinet[:3, 3] = pose[:3, 3] + self.start_distance_m * forward
        return cabinet
