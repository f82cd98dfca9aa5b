"""One rollout, both ways: the simulated robot's streaming path and the trajectory path agree."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rclpy.action import ActionClient
from ros_harness import Harness
from stretch_driver import HAS_TRAJECTORY, FakeStretchDriver
from vinn.demos.types import ActionScale
from vinn.robot.types import JointCommand
from vinn.sim.cabinets import cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import run_expert
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld
from vinn_ros.conversions import from_joint_command_msg
from vinn_ros.executor.node import StretchExecutorNode
from vinn_ros.node import qos
from vinn_ros.node.calls import wait_for
from vinn_ros.sim.node import StretchSimNode

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import ResetScene

pytestmark = [
    pytest.mark.ros,
    pytest.mark.physics,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_TRAJECTORY, reason="control_msgs is not installed"),
]

CONFIGS = Path(__file__).parents[3] / "config" / "robot"


class Side:
    """An executor in a namespace of its own, and what it sent."""

    def __init__(self, ros: Harness, namespace: str, driver: str, robot_config: Path) -> None:
        self.ros = ros
        self.sent: list[JointCommand] = []
        self.node = ros.add(
            StretchExecutorNode(
                [
                    *("--ros-args", "-r", f"__ns:=/{namespace}"),
                    *("-p", f"robot_config:={robot_config}"),
                    *("-p", f"driver:={driver}", "-p", "lease_s:=5.0"),
                ]
            )
        )
        supervisor = ros.node.create_publisher(
            RolloutStatus, f"{namespace}/supervisor/status", qos.STREAM
        )
        running = RolloutStatus(state=RolloutStatus.RUNNING, session="same")
        ros.node.create_timer(0.1, lambda: supervisor.publish(running))
        self._steps = ActionClient(ros.node, ExecuteStep, f"{namespace}/executor/step")
        assert self._steps.wait_for_server(10.0)
        ros.wait_for(lambda: self.node._lease.session == "same")

    def step(self, sequence: int, delta_m: np.ndarray, gripper: int) -> ExecuteStep.Result:
        goal = ExecuteStep.Goal(session="same", sequence=sequence)
        goal.prediction.action_scale = ActionScale.METRIC.value
        vector = goal.prediction.camera_delta
        vector.x, vector.y, vector.z = (float(v) for v in delta_m)
        goal.prediction.gripper_value = float(gripper)
        goal.prediction.gripper_probabilities = np.eye(4, dtype=np.float32)[gripper]
        handle = wait_for(self._steps.send_goal_async(goal), 10.0, "goal")
        result: Any = wait_for(handle.get_result_async(), 60.0, "result").result
        self.sent.append(from_joint_command_msg(result.sent))
        return result


def a_robot_config(directory: Path) -> Path:
    """The simulation's settings with patience for a busy machine, beside the tool profiles."""
    content = yaml.safe_load((CONFIGS / "stretch_sim_unpaced.yaml").read_text())
    content["motion"]["max_image_age_s"] = 10.0
    content["executor"] |= {"max_state_age_s": 5.0, "no_progress_s": 5.0}
    path = directory / "robot.yaml"
    path.write_text(yaml.safe_dump(content))
    (directory / "tools.yaml").write_text((CONFIGS / "tools.yaml").read_text())
    return path


def test_the_same_rollout_sends_the_same_targets_both_ways(ros: Harness, tmp_path: Path) -> None:
    config = a_robot_config(tmp_path)
    # What an expert does on this scene: approach, grasp, pull.
    scene = SceneConfig(cabinet=cabinet_named("oak"), difficulty=difficulty_named("easy"))
    world = DoorWorld(scene, 3)
    try:
        episode = run_expert(world, 3)
    finally:
        world.close()
    actions = list(zip(episode.camera_delta_m, episode.gripper, strict=True))[:20]
    assert {int(gripper) for _, gripper in actions} >= {0, 3}, "it should grasp as well"

    simulation = ros.add(
        StretchSimNode(
            [
                *("--ros-args", "-r", "__ns:=/a"),
                *("-p", f"robot_config:={config}", "-p", "overview_rate_hz:=0.0"),
                *("-p", "camera_rate_hz:=0.5", "-p", "reset_offset:=drawn"),
            ]
        )
    )
    assert ros.call(ResetScene, "a/scene/reset", ResetScene.Request(seed=3)).success
    streaming = Side(ros, "a", "streaming", config)
    start = simulation._simulation.state
    for sequence, (delta_m, gripper) in enumerate(actions):
        streaming.step(sequence, delta_m, int(gripper))

    robot = ros.add(FakeStretchDriver(namespace="b"))
    robot.joints.pace = 6.0
    # It starts where the simulated robot did, and finds a handle between its fingers.
    robot.joints.position |= {
        "wrist_extension": start.arm_m,
        "joint_lift": start.lift_m,
        "joint_wrist_yaw": start.wrist_yaw_rad,
        "joint_wrist_pitch": start.wrist_pitch_rad,
        "joint_wrist_roll": start.wrist_roll_rad,
        "gripper_aperture": start.gripper_aperture_m,
    }
    robot.joints.target = dict(robot.joints.position)
    robot.joints.grip_m = 0.014
    trajectory = Side(ros, "b", "trajectory", config)
    for sequence, (delta_m, gripper) in enumerate(actions):
        trajectory.step(sequence, delta_m, int(gripper))

    assert len(streaming.sent) == len(trajectory.sent) == len(actions)
    fields = [f.name for f in dataclasses.fields(JointCommand) if f.name != "loaded"]
    table = [
        [[getattr(c, f) for f in fields] for c in side.sent] for side in (streaming, trajectory)
    ]
    difference = np.abs(np.array(table[0]) - np.array(table[1]))
    # python -m measure.robot reads this.
    print(f"MEASURED steps={len(actions)} largest_difference={difference.max():.6f}")
    step, field = np.unravel_index(int(difference.argmax()), difference.shape)
    assert difference.max() < 1e-3, f"step {step}: {fields[field]}"
    # What the driver took is what was reported as sent.
    goals = [c for c in robot.commands if c.path == "trajectory"]
    assert [c.refused for c in goals] == [""] * len(actions)
    for goal, sent in zip(goals, trajectory.sent, strict=True):
        assert goal.targets["wrist_extension"] == pytest.approx(sent.arm_m)
        assert goal.targets["joint_lift"] == pytest.approx(sent.lift_m)
