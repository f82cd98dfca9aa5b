"""Saving a start pose and changing a setting, over the node and a fake driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
import yaml
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger
from stretch_driver import FakeStretchDriver
from vinn_ros.bringup.graph import door_opening
from vinn_ros.executor.node import StretchExecutorNode
from vinn_ros.paths import config_directory

from vinn_msgs.msg import ExecutorStatus
from vinn_msgs.srv import Jog, MoveToStart

pytestmark = pytest.mark.ros


def patient_config(directory: Path) -> Path:
    """The shipped robot, patient with late joint states: the machine that tests may be busy."""
    shipped = config_directory() / "robot"
    content = yaml.safe_load((shipped / "stretch.yaml").read_text())
    content["executor"] |= {"max_state_age_s": 5.0, "no_progress_s": 10.0, "step_timeout_s": 30.0}
    path = directory / "stretch.yaml"
    path.write_text(yaml.safe_dump(content))
    (directory / "tools.yaml").write_text((shipped / "tools.yaml").read_text())
    return path


@pytest.fixture
def robot(ros: Any, tmp_path: Path) -> Any:
    robot = ros.add(FakeStretchDriver())
    robot.node = ros.add(
        StretchExecutorNode(
            [
                "--ros-args",
                "-p",
                f"robot_config:={patient_config(tmp_path)}",
                "-p",
                f"start_pose_file:={tmp_path / 'start.yaml'}",
                "-p",
                "service_timeout_s:=20.0",
            ]
        )
    )
    robot.statuses = ros.listen(ExecutorStatus, "executor/status")
    return robot


def test_a_start_pose_is_saved_kept_and_returned_to(ros: Any, robot: Any, tmp_path: Path) -> None:
    saved_lift_m = robot.joints.position["joint_lift"]
    answer = ros.call(Trigger, "executor/save_start", timeout_s=40.0)
    assert answer.success, answer.message
    assert yaml.safe_load((tmp_path / "start.yaml").read_text())["lift_m"] == pytest.approx(
        saved_lift_m, abs=0.002
    )
    # Saving is a change: whoever wants to move resets first.
    ros.wait_for(lambda: robot.statuses and robot.statuses[-1].reason == "NOT_READY")
    jog = Jog.Request()
    jog.camera_delta.y = -0.03
    there = ros.call(Jog, "executor/jog", jog, timeout_s=40.0)
    assert there.success, there.message
    assert there.moved.y == pytest.approx(-0.03, abs=0.01)
    home = ros.call(MoveToStart, "executor/home", timeout_s=60.0)
    assert home.success, home.message
    assert robot.joints.position["joint_lift"] == pytest.approx(saved_lift_m, abs=0.012)
    assert any("going to the start pose" in status.message for status in robot.statuses)
    ros.wait_for(lambda: robot.statuses[-1].reason == "NONE")


def test_after_a_changed_setting_a_reset_comes_first(ros: Any, robot: Any) -> None:
    (result,) = robot.node.set_parameters([Parameter("scale_up", value=0.05)])
    assert result.successful, result.reason
    ros.wait_for(lambda: robot.statuses and robot.statuses[-1].reason == "NOT_READY")
    assert "scale_up changed" in robot.statuses[-1].message
    assert robot.node._robot.reset_needed
    assert ros.call(MoveToStart, "executor/home", timeout_s=60.0).success
    ros.wait_for(lambda: robot.statuses[-1].reason == "NONE")
    assert not robot.node._robot.reset_needed


def test_the_gripper_camera_of_the_robot_may_be_the_wrist_camera() -> None:
    specs = {s.name: s for s in door_opening("real", camera="topic:/gripper_camera/image_raw")}
    assert "wrist_camera" not in specs
    for name in ("vinn_policy", "rollout_supervisor"):
        assert dict(specs[name].remappings) == {
            "wrist_camera/image_raw/compressed": "/gripper_camera/image_raw/compressed",
            "wrist_camera/image_raw": "/gripper_camera/image_raw",
            "wrist_camera/camera_info": "/gripper_camera/camera_info",
        }
    assert "wrist_camera/image_raw:=/gripper_camera/image_raw" in " ".join(
        specs["vinn_policy"].ros_arguments()
    )
