"""What `stretch_driver` and the camera would publish, made from the simulated world."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, JointState
from vinn.robot.types import JointLimits
from vinn.sim.stretch_model import WristCamera
from vinn.sim.world import DoorWorld

from vinn_msgs.msg import SceneStatus
from vinn_ros.drivers.pose_command import aperture_to_finger_rad

_LIMIT_NAMES = {
    "lift_m": "joint_lift",
    "arm_m": "wrist_extension",
    "wrist_yaw_rad": "joint_wrist_yaw",
    "wrist_pitch_rad": "joint_wrist_pitch",
    "wrist_roll_rad": "joint_wrist_roll",
    "gripper_aperture_m": "gripper_aperture",
}


def joint_states(world: DoorWorld, stamp: Time) -> JointState:
    """All joints by Stretch's names; the head stands still."""
    positions, velocities = world.joint_positions(), world.joint_velocities()
    finger_rad = aperture_to_finger_rad(world.gripper_aperture_m)
    positions |= {
        "gripper_aperture": world.gripper_aperture_m,
        "joint_gripper_finger_left": finger_rad,
        "joint_gripper_finger_right": finger_rad,
        "joint_head_pan": 0.0,
        "joint_head_tilt": 0.0,
    }
    message = JointState(
        name=list(positions),
        position=list(positions.values()),
        velocity=[velocities.get(name, 0.0) for name in positions],
    )
    message.header.stamp = stamp
    return message


def odometry(world: DoorWorld, stamp: Time) -> Odometry:
    """Base pose since the last reset."""
    x, y, theta = world.base_pose
    message = Odometry(child_frame_id="base_link")
    message.header.stamp = stamp
    message.header.frame_id = "odom"
    message.pose.pose.position.x, message.pose.pose.position.y = x, y
    message.pose.pose.orientation.z = math.sin(theta / 2.0)
    message.pose.pose.orientation.w = math.cos(theta / 2.0)
    return message


def joint_limits(limits: JointLimits, stamp: Time) -> JointState:
    """As `stretch_driver` does: lower limits as positions, upper limits as velocities."""
    ranges = {name: getattr(limits, field) for field, name in _LIMIT_NAMES.items()}
    message = JointState(
        name=list(ranges),
        position=[joint_range.lower for joint_range in ranges.values()],
        velocity=[joint_range.upper for joint_range in ranges.values()],
    )
    message.header.stamp = stamp
    return message


def camera_info(camera: WristCamera, stamp: Time, frame_id: str) -> CameraInfo:
    """Pinhole intrinsics of the simulated camera [px]."""
    focal_px = 0.5 * camera.height_px / math.tan(0.5 * camera.fovy_rad)
    cx, cy = 0.5 * camera.width_px, 0.5 * camera.height_px
    message = CameraInfo(
        width=camera.width_px,
        height=camera.height_px,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[focal_px, 0.0, cx, 0.0, focal_px, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal_px, 0.0, cx, 0.0, 0.0, focal_px, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    return message


def scene_status(world: DoorWorld, stamp: Time) -> SceneStatus:
    """The ground truth."""
    message = SceneStatus(
        cabinet=world.scene.cabinet.name,
        occlusion=world.scene.occlusion.value,
        door_angle_rad=world.door_angle_rad,
        grasped=world.grasped,
        opened=world.opened,
        fully_opened=world.fully_opened,
    )
    message.header.stamp = stamp
    return message
