"""Markers, transforms, and the layouts that show them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from ros_harness import Harness
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.kinematics import base_T_gripper, gripper_R_camera
from vinn_ros.conversions import to_vector3
from vinn_ros.markers.transforms import camera_transform, gripper_transform, quaternion

ROOT = Path(__file__).parents[3]
ANGLE = st.floats(-3.1, 3.1)


def rotation_of(q: tuple[float, float, float, float]) -> np.ndarray:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@settings(deadline=None)
@given(tilt=st.floats(-1.6, 1.6), roll=ANGLE)
def test_quaternions_are_the_rotation(tilt: float, roll: float) -> None:
    rotation = gripper_R_camera(CameraMount(tilt_rad=tilt, roll_rad=roll))
    q = quaternion(rotation)
    assert q[3] >= 0
    np.testing.assert_allclose(rotation_of(q), rotation, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_no_w(axis: int) -> None:
    rotation = -np.eye(3)
    rotation[axis, axis] = 1.0
    np.testing.assert_allclose(rotation_of(quaternion(rotation)), rotation, atol=1e-12)


def test_the_gripper_is_where_the_kinematics_say() -> None:
    config = RobotConfig()
    joints = {"joint_lift": 0.7, "wrist_extension": 0.2, "joint_wrist_yaw": 1.53}
    transform = gripper_transform(joints, config, Time(sec=5))
    assert transform is not None
    pose = base_T_gripper(0.7, 0.2, 1.53, 0.0, 0.0, config.tool.geometry)
    found = transform.transform
    np.testing.assert_allclose(
        [found.translation.x, found.translation.y, found.translation.z], pose[:3, 3]
    )
    q = found.rotation
    np.testing.assert_allclose(rotation_of((q.x, q.y, q.z, q.w)), pose[:3, :3], atol=1e-9)
    assert (transform.header.frame_id, transform.child_frame_id) == ("base_link", "vinn_gripper")
    assert gripper_transform({"joint_lift": 0.7}, config, Time()) is None
    camera = camera_transform(config, Time())
    assert camera.header.frame_id == transform.child_frame_id


@pytest.mark.ros
def test_predictions_become_arrows(ros: Harness) -> None:
    markers = pytest.importorskip("visualization_msgs.msg")
    from vinn_ros.markers.node import ViewsNode

    from vinn_msgs.msg import Neighbor, Prediction

    node = ros.add(ViewsNode(["--ros-args", "-p", "length_scale:=2.0"]))
    shown = ros.listen(markers.MarkerArray, "policy/markers")
    publisher = ros.node.create_publisher(Prediction, "policy/prediction", 1)
    prediction = Prediction(action_scale="metric", novelty=0.5)
    prediction.header.frame_id = "wrist_camera_optical_frame"
    prediction.camera_delta.z = 0.03
    prediction.neighbors = [Neighbor(weight=0.7), Neighbor(weight=0.3)]

    def drawn() -> bool:
        publisher.publish(prediction)
        return bool(shown)

    ros.wait_for(drawn)
    clear, arrow, *neighbors = shown[-1].markers
    assert clear.action == markers.Marker.DELETEALL
    assert arrow.header.frame_id == "wrist_camera_optical_frame"
    assert arrow.points[1].z - arrow.points[0].z == pytest.approx(0.06)
    assert [m.ns for m in neighbors] == ["neighbors"] * 2
    assert neighbors[0].color.a > neighbors[1].color.a
    assert node.active


@pytest.mark.ros
@pytest.mark.parametrize("scale", ["metric", "unit"])
def test_the_grasp_point_is_a_ball_with_its_ellipsoid_before_the_gripper(
    ros: Harness, scale: str
) -> None:
    markers = pytest.importorskip("visualization_msgs.msg")
    from vinn_ros.markers.node import ViewsNode

    from vinn_msgs.msg import Prediction

    node = ros.add(ViewsNode(["--ros-args", "-p", "unit_length_m:=0.5"]))
    shown = ros.listen(markers.MarkerArray, "policy/markers")
    publisher = ros.node.create_publisher(Prediction, "policy/prediction", 1)
    delta, std = np.array([0.02, -0.03, 0.2]), np.array([0.004, 0.006, 0.03])
    prediction = Prediction(action_scale=scale, novelty=0.5, has_grasp_point=True)
    prediction.header.frame_id = "wrist_camera_optical_frame"
    prediction.grasp_point, prediction.grasp_point_std = to_vector3(delta), to_vector3(std)

    def drawn() -> bool:
        publisher.publish(prediction)
        return bool(shown)

    ros.wait_for(drawn)
    point, around = (m for m in shown[-1].markers if m.ns == "grasp_point")
    metres = 1.0 if scale == "metric" else 0.5
    rotation = gripper_R_camera(node._config.camera)
    for marker in (point, around):
        assert (marker.type, marker.header.frame_id) == (markers.Marker.SPHERE, "vinn_gripper")
        p, q = marker.pose.position, marker.pose.orientation
        np.testing.assert_allclose([p.x, p.y, p.z], metres * rotation @ delta, atol=1e-9)
        np.testing.assert_allclose(rotation_of((q.x, q.y, q.z, q.w)), rotation, atol=1e-9)
    diameters = [around.scale.x, around.scale.y, around.scale.z]
    np.testing.assert_allclose(diameters, 2 * metres * std, atol=1e-9)
    assert around.color.a < point.color.a
    shown.clear()
    prediction.has_grasp_point = False
    # One from before may still be on its way.
    ros.wait_for(lambda: drawn() and all(m.ns != "grasp_point" for m in shown[-1].markers))


def test_layouts_name_topics_that_exist() -> None:
    documented = set(re.findall(r"`([a-z_/]+)`", (ROOT / "docs" / "ros-api.md").read_text()))
    rviz = yaml.safe_load((ROOT / "config" / "rviz" / "vinn.rviz").read_text())
    displays = rviz["Visualization Manager"]["Displays"]
    topics = [d["Topic"]["Value"] for d in displays if "Topic" in d]
    layout = json.loads((ROOT / "config" / "foxglove" / "vinn.json").read_text())
    text = json.dumps(layout["configById"])
    topics += re.findall(r'"(/[a-z_/]+)[."]', text)
    assert len(topics) > 8
    for topic in topics:
        # RViz adds /compressed itself.
        names = {topic, topic.lstrip("/"), f"{topic.lstrip('/')}/compressed"}
        assert names & documented, topic
    panels = re.findall(r'"([A-Za-z0-9]+![a-z]+)"', json.dumps(layout["layout"]))
    assert sorted(panels) == sorted(layout["configById"])
