"""Forward kinematics, IK and frames against Hello Robot's URDF, computed by MuJoCo."""

from pathlib import Path

import numpy as np
import pytest
from vinn.robot.config import CameraMount, load_tool_profiles
from vinn.robot.ik import JointIncrement, translation_fk, translation_ik
from vinn.robot.kinematics import base_R_gripper, base_T_gripper, gripper_R_camera

TOOLS = Path(__file__).parents[2] / "config" / "robot" / "tools.yaml"
URDFS = {
    "tool_stretch_dex_wrist": "RE1V0/stretch_description_RE1V0_tool_stretch_dex_wrist.urdf",
    "tool_stretch_gripper": "RE1V0/stretch_description_RE1V0_tool_stretch_gripper.urdf",
    "eoa_wrist_dw3_tool_sg3": "SE3/stretch_description_SE3_eoa_wrist_dw3_tool_sg3.urdf",
}


class UrdfRobot:
    """The URDF's bare kinematic chain as a MuJoCo model, without meshes."""

    def __init__(self, urdf: str) -> None:
        import xml.etree.ElementTree as ElementTree

        mujoco = pytest.importorskip("mujoco")
        stretch_urdf = pytest.importorskip("stretch_urdf")
        root = ElementTree.parse(Path(stretch_urdf.__file__).parent / urdf).getroot()
        for link in root.findall("link"):
            for child in list(link):
                link.remove(child)
            inertial = ElementTree.SubElement(link, "inertial")
            ElementTree.SubElement(inertial, "mass", value="1")
            ElementTree.SubElement(
                inertial, "inertia", ixx="1", iyy="1", izz="1", ixy="0", ixz="0", iyz="0"
            )
        extension = ElementTree.SubElement(root, "mujoco")
        ElementTree.SubElement(extension, "compiler", fusestatic="false")
        self._mujoco = mujoco
        self._model = mujoco.MjModel.from_xml_string(ElementTree.tostring(root, "unicode"))
        self._data = mujoco.MjData(self._model)

    def grasp_pose(self, lift_m, arm_m, yaw, pitch, roll):
        joints = {f"joint_arm_l{i}": arm_m / 4 for i in range(4)} | {
            "joint_lift": lift_m,
            "joint_wrist_yaw": yaw,
            "joint_wrist_pitch": pitch,
            "joint_wrist_roll": roll,
        }
        for name, value in joints.items():
            index = self._mujoco.mj_name2id(self._model, self._mujoco.mjtObj.mjOBJ_JOINT, name)
            if index >= 0:
                self._data.qpos[self._model.jnt_qposadr[index]] = value
        self._mujoco.mj_kinematics(self._model, self._data)
        body = self._data.body("link_grasp_center")
        base = self._data.body("base_link")
        base_R_world = base.xmat.reshape(3, 3).T
        return base_R_world @ (body.xpos - base.xpos), base_R_world @ body.xmat.reshape(3, 3)


@pytest.mark.parametrize("tool", URDFS)
def test_forward_kinematics_match_the_urdf(tool):
    robot = UrdfRobot(URDFS[tool])
    geometry = load_tool_profiles(TOOLS)[tool].geometry
    rng = np.random.default_rng(0)
    turns = tool != "tool_stretch_gripper"
    for _ in range(200):
        lift, arm, yaw = rng.uniform(0, 1.1), rng.uniform(0, 0.5), rng.uniform(-1.4, 4.0)
        pitch, roll = rng.uniform(-1.5, 0.4) * turns, rng.uniform(-2.9, 2.9) * turns
        pose = base_T_gripper(lift, arm, yaw, pitch, roll, geometry)
        position, rotation = robot.grasp_pose(lift, arm, yaw, pitch, roll)
        assert np.linalg.norm(pose[:3, 3] - position) < 1e-3
        # link_grasp_center: x forward, y left, z up.
        urdf_gripper = np.column_stack([-rotation[:, 1], rotation[:, 0], rotation[:, 2]])
        assert np.allclose(pose[:3, :3], urdf_gripper, atol=1e-3)


@pytest.mark.parametrize("yaw", [0.0, 1.53, -0.7, 2.5])
def test_translation_ik_moves_the_urdf_by_what_was_asked(yaw):
    robot = UrdfRobot(URDFS["tool_stretch_dex_wrist"])
    rng = np.random.default_rng(1)
    for gripper_delta_m in rng.uniform(-0.05, 0.05, (100, 3)):
        wanted = base_R_gripper(yaw) @ gripper_delta_m
        step = translation_ik(wanted)
        before, _ = robot.grasp_pose(0.5, 0.2, yaw, 0.0, 0.0)
        after, _ = robot.grasp_pose(0.5 + step.lift_m, 0.2 + step.arm_m, yaw, 0.0, 0.0)
        after = after + np.array([step.base_translate_m, 0.0, 0.0])
        assert np.linalg.norm(after - before - wanted) < 1e-4
        assert np.allclose(translation_fk(step), wanted)


def test_yaw_decides_which_joint_makes_forward_and_right():
    forward, right = np.array([0.0, 0.01, 0.0]), np.array([0.01, 0.0, 0.0])
    assert translation_ik(base_R_gripper(0.0) @ forward).arm_m == pytest.approx(0.01)
    assert translation_ik(base_R_gripper(0.0) @ right).base_translate_m == pytest.approx(-0.01)
    yaw = np.pi / 2
    assert translation_ik(base_R_gripper(yaw) @ forward).base_translate_m == pytest.approx(0.01)
    assert translation_ik(base_R_gripper(yaw) @ right).arm_m == pytest.approx(0.01)
    up = translation_ik(base_R_gripper(1.53) @ np.array([0.0, 0.0, 0.01]))
    assert up == JointIncrement(base_translate_m=0.0, arm_m=0.0, lift_m=0.01)


def test_camera_axes_for_level_tilted_and_rolled_mounts():
    right, forward, up = np.eye(3)
    level = gripper_R_camera(CameraMount(tilt_rad=0.0))
    assert np.allclose(level, np.column_stack([right, -up, forward]))
    looks_at = gripper_R_camera(CameraMount(tilt_rad=0.3))[:, 2]
    assert np.allclose(looks_at, np.cos(0.3) * forward - np.sin(0.3) * up)
    rolled = gripper_R_camera(CameraMount(tilt_rad=0.3, roll_rad=0.5))
    assert np.allclose(rolled[:, 2], looks_at)
    # Turned from x towards y: the image's right now leans down.
    assert rolled[2, 0] < 0 < rolled[0, 0]


def test_frames_are_right_handed_rotations():
    rng = np.random.default_rng(2)
    for yaw, pitch, roll in rng.uniform(-3, 3, (50, 3)):
        mount = CameraMount(tilt_rad=pitch / 2, roll_rad=roll)
        for rotation in (base_R_gripper(yaw, pitch, roll), gripper_R_camera(mount)):
            assert np.allclose(rotation @ rotation.T, np.eye(3))
            assert np.linalg.det(rotation) == pytest.approx(1.0)
