"""What a step really did, by joint states and odometry before and after it."""

from __future__ import annotations

from dataclasses import replace

from vinn.robot.config import RobotConfig
from vinn.robot.gripper import GripperMemory
from vinn.robot.motion_filter import Decision
from vinn.robot.odometry import base_R_camera, grasp_translation_m
from vinn.robot.types import RobotState, StepResult


def measured(
    result: StepResult,
    decision: Decision,
    gripper: GripperMemory,
    before: RobotState,
    after: RobotState,
    config: RobotConfig,
) -> StepResult:
    """The result of a step of which something was sent, with what was measured.

    Args:
        result: what became of it.
        decision: what was decided and sent.
        gripper: its memory after the step.
        before: the reading that it was decided on.
        after: the newest reading there is.
        config: how the camera is mounted, and the tool.
    """
    camera_R_base = base_R_camera(before, config.camera).T
    moved_m = grasp_translation_m(before, after, config.tool.geometry)
    return replace(
        result,
        sent_camera_delta_m=camera_R_base @ decision.sent_base_delta_m,
        measured_camera_delta_m=camera_R_base @ moved_m,
        gripper_aperture_m=after.gripper_aperture_m,
        missed=decision.missed,
        attempt=gripper.closings,
    )
