"""Stretch RE1 with the dexterous wrist as a MuJoCo model, built from Hello Robot's URDF.

The URDF's links become MuJoCo bodies with their own inertia and decimated meshes that only look.
What touches the world are the finger pads and the palm: simple shapes whose contacts are stable.
The base is planar (slide x, slide y, hinge yaw), every joint has a position actuator, and gravity
is compensated, as the real robot's drives hold their position.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.robot.config import CameraMount
from vinn.robot.kinematics import gripper_R_camera
from vinn.sim.stretch_meshes import decimated_mesh

WRIST_CAMERA = "wrist_camera"
GRASP_CENTER = "link_grasp_center"
PAD_GEOMS = ("left_pad", "right_pad")
ARM_JOINTS = ("joint_arm_l3", "joint_arm_l2", "joint_arm_l1", "joint_arm_l0")
FINGER_JOINTS = ("joint_gripper_finger_left", "joint_gripper_finger_right")
BASE_JOINTS = ("base_x", "base_y", "base_yaw")
JOINTS = (
    *BASE_JOINTS,
    "joint_lift",
    *ARM_JOINTS,
    "joint_wrist_yaw",
    "joint_wrist_pitch",
    "joint_wrist_roll",
    *FINGER_JOINTS,
)
"""Order of the actuators; each drives the joint of its name to a position."""

GRIP_STIFFNESS = 30.0
"""N m/rad of a finger: a closing command 5 cm past the handle presses each pad with 20 N."""

_FINGER_RADIUS_M = 0.188
"""From a finger's joint to its pad."""
_TOUCHING_FINGER_RAD = -0.1035
"""Where the pads touch. The URDF's zero leaves them apart; the aperture here is the true gap."""
_PAD_HALF_SIZE_M = (0.004, 0.018, 0.015)
"""Half the pad's thickness, length along the gripper, height."""
_PAD_TURN_RAD = 0.47
"""From a cup's own axis to the direction of the other finger."""
_PAD_INWARD_M = 0.010
"""From the centre of the rubber cup towards the other finger."""

_URDF = "RE1V0/stretch_description_RE1V0_tool_stretch_dex_wrist.urdf"
_GAINS = {  # stiffness, damping of the position actuators [N/m, N s/m or N m/rad, N m s/rad]
    "base_x": (30000.0, 2400.0),
    "base_y": (30000.0, 2400.0),
    "base_yaw": (8000.0, 500.0),
    "joint_lift": (12000.0, 600.0),
    **dict.fromkeys(ARM_JOINTS, (30000.0, 500.0)),
    "joint_wrist_yaw": (250.0, 12.0),
    "joint_wrist_pitch": (250.0, 12.0),
    "joint_wrist_roll": (150.0, 6.0),
    **dict.fromkeys(FINGER_JOINTS, (GRIP_STIFFNESS, 0.5)),
}
_DARK, _BLACK, _LIGHT = (0.22, 0.22, 0.24, 1), (0.08, 0.08, 0.09, 1), (0.78, 0.78, 0.80, 1)
_LINK_COLORS = {
    "link_mast": _LIGHT,
    "link_arm_l3": _LIGHT,
    "link_arm_l2": _LIGHT,
    "link_arm_l1": _LIGHT,
    "link_gripper_finger_left": (0.30, 0.30, 0.32, 1),
    "link_gripper_finger_right": (0.30, 0.30, 0.32, 1),
    "link_gripper_fingertip_left": _BLACK,
    "link_gripper_fingertip_right": _BLACK,
}
_INVISIBLE_LINKS = ("camera_", "link_aruco_")
"""The head camera's mesh is huge and never seen; the aruco markers are flat and have no mass."""


class WristCamera(BaseModel):
    """The simulated wrist camera: where it sits on the gripper and what it sees."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mount: CameraMount = CameraMount()
    right_m: float = Field(default=0.0, ge=-0.3, le=0.3)
    forward_m: float = Field(default=-0.17, ge=-0.4, le=0.2)
    up_m: float = Field(default=0.085, ge=-0.2, le=0.4)
    """Position in gripper axes, from the point between the finger tips [m]."""
    fovy_rad: float = Field(default=1.22, gt=0.2, lt=2.5)
    width_px: int = Field(default=224, ge=32, le=1920)
    height_px: int = Field(default=224, ge=32, le=1080)


def aperture_to_finger_rad(aperture_m: float) -> float:
    """Finger angle that leaves `aperture_m` between the finger tips; below 0 squeezes."""
    return _TOUCHING_FINGER_RAD + aperture_m / (2.0 * _FINGER_RADIUS_M)


def finger_rad_to_aperture(finger_rad: float) -> float:
    """Distance between the finger tips for the mean angle of the fingers."""
    return 2.0 * _FINGER_RADIUS_M * (finger_rad - _TOUCHING_FINGER_RAD)


def add_stretch(spec: mujoco.MjSpec, camera: WristCamera) -> None:
    """Add the robot to a scene, its base at the origin and its arm along -y."""
    import stretch_urdf

    package = Path(stretch_urdf.__file__).parent
    urdf = ElementTree.parse(package / _URDF).getroot()
    links = {link.attrib["name"]: link for link in urdf.findall("link")}
    meshes = (package / _URDF).parent / "meshes"

    base = spec.worldbody.add_body(name="base_link", gravcomp=1.0)
    for name, axis in zip(BASE_JOINTS, np.eye(3), strict=True):
        kind = mujoco.mjtJoint.mjJNT_HINGE if name == "base_yaw" else mujoco.mjtJoint.mjJNT_SLIDE
        base.add_joint(name=name, type=kind, axis=[0, 0, 1] if name == "base_yaw" else axis)
    bodies = {"base_link": base}
    _add_link(spec, base, links["base_link"], meshes)
    pending = list(urdf.findall("joint"))
    while pending:
        ready = [joint for joint in pending if _parent(joint) in bodies]
        for joint in ready:
            _add_joint_and_child(spec, bodies, joint, links, meshes)
        pending = [joint for joint in pending if joint not in ready]
    _add_contacts(bodies)
    _add_camera(bodies["link_straight_gripper"], camera)
    _add_actuators(spec)


def _parent(joint: ElementTree.Element) -> str:
    return joint.find("parent").attrib["link"]  # type: ignore[union-attr]


def _add_joint_and_child(
    spec: mujoco.MjSpec,
    bodies: dict[str, mujoco.MjsBody],
    joint: ElementTree.Element,
    links: dict[str, ElementTree.Element],
    meshes: Path,
) -> None:
    child = joint.find("child").attrib["link"]  # type: ignore[union-attr]
    position, quaternion = _origin(joint)
    body = bodies[_parent(joint)].add_body(name=child, pos=position, quat=quaternion, gravcomp=1.0)
    bodies[child] = body
    name = joint.attrib["name"]
    if name in JOINTS:
        axis = _numbers(joint.find("axis").attrib["xyz"])  # type: ignore[union-attr]
        prismatic = joint.attrib["type"] == "prismatic"
        body.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE if prismatic else mujoco.mjtJoint.mjJNT_HINGE,
            axis=axis,
            armature=0.2 if prismatic else 0.002,
        )
    _add_link(spec, body, links[child], meshes)


def _add_link(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, link: ElementTree.Element, meshes: Path
) -> None:
    name = link.attrib["name"]
    inertial = link.find("inertial")
    if inertial is not None:
        mass = float(inertial.find("mass").attrib["value"])  # type: ignore[union-attr]
        position, quaternion = _origin(inertial)
        tensor = inertial.find("inertia").attrib  # type: ignore[union-attr]
        matrix = np.array(
            [
                [float(tensor["i" + "".join(sorted(row + column))]) for column in "xyz"]
                for row in "xyz"
            ]
        )
        rotation = _matrix(quaternion)
        matrix = rotation @ matrix @ rotation.T
        # Some links (finger tips, markers) are published with no inertia worth the name.
        values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
        values = np.maximum(values, 1e-6)
        values[2] = min(values[2], values[0] + values[1])
        if np.linalg.det(vectors) < 0:
            vectors[:, 0] *= -1
        body.explicitinertial = True
        body.mass = max(mass, 1e-3)
        body.ipos = position
        body.iquat = _quaternion(vectors)
        body.inertia = values
    visual = link.find("visual")
    if visual is None or name.startswith(_INVISIBLE_LINKS):
        return
    file = Path(visual.find("geometry/mesh").attrib["filename"]).name  # type: ignore[union-attr]
    vertices, faces = decimated_mesh(meshes / file)
    position, quaternion = _origin(visual)
    # The fitted inertia frame of a thin mesh may fail; the shell's is good enough to draw it.
    spec.add_mesh(
        name=name,
        uservert=vertices.ravel().tolist(),
        userface=faces.ravel().tolist(),
        inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
    )
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        pos=position,
        quat=quaternion,
        rgba=_LINK_COLORS.get(name, _DARK),
        contype=0,
        conaffinity=0,
        mass=0.0,
    )


def _add_contacts(bodies: dict[str, mujoco.MjsBody]) -> None:
    # In the frame of a finger tip z points out of the rubber cup and x along the gripper; the pads
    # are turned so that they face each other squarely when they close on a bar.
    inward = np.array([np.sin(_PAD_TURN_RAD), 0.0, np.cos(_PAD_TURN_RAD)])
    along = np.array([np.cos(_PAD_TURN_RAD), 0.0, -np.sin(_PAD_TURN_RAD)])
    for name, side in zip(PAD_GEOMS, ("left", "right"), strict=True):
        rotation = np.column_stack([inward, along, np.cross(inward, along)])
        bodies[f"link_gripper_fingertip_{side}"].add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=_PAD_HALF_SIZE_M,
            pos=_PAD_INWARD_M * inward,
            quat=_quaternion(rotation),
            # Pads touch the scene (its conaffinity is 1) and each other, nothing else.
            contype=1 if side == "left" else 3,
            conaffinity=2 if side == "left" else 0,
            condim=4,
            friction=[1.6, 0.02, 0.001],
            mass=0.0,
            group=3,
        )


def _add_camera(gripper: mujoco.MjsBody, camera: WristCamera) -> None:
    # link_straight_gripper: z forward, and the grasp centre 0.23 m along it (see the URDF).
    body_R_gripper = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    # MuJoCo's cameras look along their -z with y up; the optical frame is x right, y down.
    optical_R_mujoco = np.diag([1.0, -1.0, -1.0])
    rotation = body_R_gripper @ gripper_R_camera(camera.mount) @ optical_R_mujoco
    offset = body_R_gripper @ np.array([camera.right_m, camera.forward_m, camera.up_m])
    gripper.add_camera(
        name=WRIST_CAMERA,
        pos=np.array([0.0, 0.0, 0.23]) + offset,
        quat=_quaternion(rotation),
        fovy=np.degrees(camera.fovy_rad),
    )


def _add_actuators(spec: mujoco.MjSpec) -> None:
    for name in JOINTS:
        stiffness, damping = _GAINS[name]
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.gainprm[0] = stiffness
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.biasprm[:3] = [0.0, -stiffness, -damping]


def _origin(element: ElementTree.Element) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    origin = element.find("origin")
    attributes = origin.attrib if origin is not None else {}
    quaternion = np.empty(4)
    # URDF's roll, pitch, yaw turn about the fixed axes x, y, z, in this order.
    mujoco.mju_euler2Quat(quaternion, _numbers(attributes.get("rpy", "0 0 0")), "XYZ")
    return _numbers(attributes.get("xyz", "0 0 0")), quaternion


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array([float(part) for part in text.split()])


def _quaternion(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(matrix).ravel())
    return quaternion


def _matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)
