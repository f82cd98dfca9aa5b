"""The simulated robot's kinematics, camera, gripper and pace against what they must be."""

import numpy as np
import pytest
from vinn.robot.config import CameraMount, StartPose
from vinn.robot.kinematics import base_R_gripper, base_T_gripper, gripper_R_camera
from vinn.robot.types import JointCommand
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import SceneConfig
from vinn.sim.stretch_model import PAD_GEOMS, WristCamera
from vinn.sim.world import DoorWorld

pytestmark = pytest.mark.physics

YAWS_RAD = (0.0, 1.53)


def scene(yaw_rad: float = 0.0, **changes) -> SceneConfig:
    pose = StartPose(lift_m=0.6, arm_m=0.3 if yaw_rad == 0.0 else 0.2, wrist_yaw_rad=yaw_rad)
    return SceneConfig(start_pose=pose, **changes)


def command(robot: SimulatedStretch, **changes: float) -> JointCommand:
    state = robot.state()
    targets = {
        "lift_m": state.lift_m,
        "arm_m": state.arm_m,
        "wrist_yaw_rad": state.wrist_yaw_rad,
        "wrist_pitch_rad": state.wrist_pitch_rad,
        "wrist_roll_rad": state.wrist_roll_rad,
        "gripper_aperture_m": state.gripper_aperture_m,
    }
    targets["arm_m"] += changes.pop("arm_by_m", 0.0)
    targets["lift_m"] += changes.pop("lift_by_m", 0.0)
    return JointCommand(**{**targets, **changes})


@pytest.mark.parametrize("yaw_rad", YAWS_RAD)
@pytest.mark.parametrize(
    ("move", "base_direction"),
    [
        ({"arm_by_m": 0.03}, (0.0, -1.0, 0.0)),
        ({"lift_by_m": 0.03}, (0.0, 0.0, 1.0)),
        ({"base_translate_m": 0.03}, (1.0, 0.0, 0.0)),
    ],
)
def test_each_joint_moves_the_gripper_in_its_direction(yaw_rad, move, base_direction):
    with DoorWorld(scene(yaw_rad)) as world:
        world.reset(0, np.array([0.0, -0.05, 0.0]))
        robot = SimulatedStretch(world)
        before = world.grasp_center_m
        robot.send(command(robot, **move))
        robot.wait(1.5)
        moved = world.grasp_center_m - before
    np.testing.assert_allclose(moved, 0.03 * np.array(base_direction), atol=0.002)


@pytest.mark.parametrize("yaw_rad", YAWS_RAD)
def test_start_agrees_with_the_analytic_kinematics_and_faces_the_handle(yaw_rad):
    config = scene(yaw_rad)
    start = config.start_pose
    with DoorWorld(config) as world:
        world.reset(0, np.zeros(3))
        expected = base_T_gripper(
            start.lift_m, start.arm_m, yaw_rad, 0.0, 0.0, config.tool.geometry
        )
        np.testing.assert_allclose(world.grasp_center_m, expected[:3, 3], atol=1e-4)
        to_handle = base_R_gripper(yaw_rad).T @ (world.handle_m - world.grasp_center_m)
    np.testing.assert_allclose(to_handle, [0.0, config.start_distance_m, 0.0], atol=1e-3)


@pytest.mark.parametrize("yaw_rad", YAWS_RAD)
def test_start_offset_is_in_gripper_axes(yaw_rad):
    offset = np.array([0.04, -0.02, 0.03])
    with DoorWorld(scene(yaw_rad)) as world:
        world.reset(0, np.zeros(3))
        nominal = world.grasp_center_m
        world.reset(0, offset)
        moved = base_R_gripper(yaw_rad).T @ (world.grasp_center_m - nominal)
    # Yaw 1.53 rad is not quite a right angle, and the joints move along the base's axes.
    np.testing.assert_allclose(moved, offset, atol=0.003)


@pytest.mark.parametrize("mount", [CameraMount(), CameraMount(tilt_rad=0.6, roll_rad=0.4)])
@pytest.mark.parametrize("yaw_rad", YAWS_RAD)
def test_the_camera_is_mounted_as_the_motion_filter_believes(mount, yaw_rad):
    with DoorWorld(scene(yaw_rad, camera=WristCamera(mount=mount))) as world:
        world.reset(0, np.zeros(3))
        expected = base_R_gripper(yaw_rad) @ gripper_R_camera(mount)
        np.testing.assert_allclose(world.world_R_camera, expected, atol=1e-4)


def test_the_handle_is_seen_where_the_optical_frame_says():
    """x right and y down of the image: a step to the right moves the handle left in the view."""
    with DoorWorld(scene()) as world:
        columns = []
        for right_m in (-0.04, 0.0, 0.04):
            world.reset(0, np.array([right_m, 0.0, 0.0]))
            image = world.wrist_image().astype(int)
            world.model.material("handle").rgba[:3] = (1.0, 0.0, 1.0)
            magenta = np.abs(world.wrist_image().astype(int) - image).sum(axis=-1) > 150
            world.model.material("handle").rgba[:3] = (0.72, 0.73, 0.75)
            columns.append(np.flatnonzero(magenta.any(axis=0)).mean())
    assert columns[0] > columns[1] + 5 > columns[2] + 10


@pytest.mark.parametrize("aperture_m", [0.02, 0.04, 0.06])
def test_aperture_is_the_gap_between_the_pads(aperture_m):
    with DoorWorld(scene()) as world:
        world.reset(0, np.array([0.0, -0.05, 0.0]))
        robot = SimulatedStretch(world)
        robot.send(command(robot, gripper_aperture_m=aperture_m))
        robot.wait(1.0)
        pads = [np.array(world.data.geom(name).xpos) for name in PAD_GEOMS]
        thickness = 2 * float(world.model.geom(PAD_GEOMS[0]).size[0])
        gap = np.linalg.norm(pads[0] - pads[1]) - thickness
        assert robot.state().gripper_aperture_m == pytest.approx(aperture_m, abs=0.002)
    assert gap == pytest.approx(aperture_m, abs=0.003)


def test_targets_are_approached_at_the_drivers_speeds():
    with DoorWorld(scene()) as world:
        world.reset(0, np.array([0.0, -0.05, 0.0]))
        robot = SimulatedStretch(world)
        speeds = world.scene.speeds
        before = robot.state()
        robot.send(command(robot, lift_by_m=0.2, arm_by_m=-0.2, base_translate_m=0.2))
        robot.wait(1.0)
        after = robot.state()
    assert after.lift_m - before.lift_m == pytest.approx(speeds.lift_m_s, rel=0.1)
    assert before.arm_m - after.arm_m == pytest.approx(speeds.arm_m_s, rel=0.1)
    assert after.base_x_m - before.base_x_m == pytest.approx(speeds.base_m_s, rel=0.1)


def test_hold_stops_where_it_is():
    with DoorWorld(scene()) as world:
        world.reset(0, np.array([0.0, -0.05, 0.0]))
        robot = SimulatedStretch(world)
        robot.send(command(robot, lift_by_m=0.2, base_translate_m=0.2))
        robot.wait(0.5)
        held = robot.state()
        robot.hold()
        robot.wait(1.0)
        after = robot.state()
    assert after.lift_m == pytest.approx(held.lift_m, abs=0.01)
    assert after.base_x_m == pytest.approx(held.base_x_m, abs=0.01)
