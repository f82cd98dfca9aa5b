"""How far the point between the finger tips has really moved, from two readings of the joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.robot.config import CameraMount, WristGeometry
from vinn.robot.kinematics import (
    base_R_gripper,
    base_T_gripper,
    gripper_R_camera,
    rotation_z,
)
from vinn.robot.types import RobotState


def base_R_camera(state: RobotState, mount: CameraMount) -> NDArray[np.float64]:
    """(3, 3) rotation of the camera's optical axes, as configured, in base axes."""
    return base_R_gripper(
        state.wrist_yaw_rad, state.wrist_pitch_rad, state.wrist_roll_rad
    ) @ gripper_R_camera(mount)


def grasp_translation_m(
    before: RobotState, after: RobotState, geometry: WristGeometry
) -> NDArray[np.float64]:
    """(3,) translation of the grasp centre in the base axes of `before` [m].

    Arm, lift and wrist count as the joints say, the base's drive and turn as its odometry says.
    """
    driven_m = rotation_z(-before.base_theta_rad) @ np.array(
        [after.base_x_m - before.base_x_m, after.base_y_m - before.base_y_m, 0.0]
    )
    turned = rotation_z(after.base_theta_rad - before.base_theta_rad)
    return driven_m + turned @ _base_p_grasp(after, geometry) - _base_p_grasp(before, geometry)


def _base_p_grasp(state: RobotState, geometry: WristGeometry) -> NDArray[np.float64]:
    return base_T_gripper(
        state.lift_m,
        state.arm_m,
        state.wrist_yaw_rad,
        state.wrist_pitch_rad,
        state.wrist_roll_rad,
        geometry,
    )[:3, 3]
