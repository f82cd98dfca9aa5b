"""An executor, a fake robot, and a supervisor's voice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rclpy.action import ActionClient
from ros_harness import Harness
from stretch_driver import FakeStretchDriver
from vinn_ros.executor.node import StretchExecutorNode
from vinn_ros.node import qos
from vinn_ros.node.calls import wait_for

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, RolloutStatus

# Motion along the arm at wrist yaw 0; the camera tilt would make it move the lift as well. Patient
# where nothing is tested: the machine that runs the tests may be busy.
CONFIG = """
executor:
  settle_window_s: 0.05
  start_s: 0.1
  max_state_age_s: 2.0
  no_progress_s: 10.0
  step_timeout_s: 30.0
camera: {tilt_rad: 0.0}
start_pose: {lift_m: 0.6, arm_m: 0.2}
"""


class Bench:
    """An executor, a robot, and a supervisor's voice."""

    config = CONFIG

    def __init__(self, ros: Harness, directory: Path, driver: str) -> None:
        config = directory / "robot.yaml"
        config.write_text(self.config)
        self.ros = ros
        self.driver = driver
        self.start_robot()
        self.node = ros.add(
            StretchExecutorNode(
                [
                    "--ros-args",
                    *("-p", f"robot_config:={config}"),
                    *("-p", "lease_s:=2.0"),
                    *("-p", f"driver:={driver}"),
                ]
            )
        )
        self.statuses = ros.listen(ExecutorStatus, "executor/status")
        self.session = "s1"
        self.state = RolloutStatus.RUNNING
        self.renewing = True
        self.attempts = 0
        self._supervisor = ros.node.create_publisher(RolloutStatus, "supervisor/status", qos.STREAM)
        ros.node.create_timer(0.05, self._renew)
        self._steps = ActionClient(ros.node, ExecuteStep, "executor/step")
        assert self._steps.wait_for_server(10.0)
        # Steps are refused until the lease has arrived.
        ros.wait_for(lambda: self.node._lease.session == "s1")

    def start_robot(self) -> None:
        self.robot = self.ros.add(FakeStretchDriver())

    def _renew(self) -> None:
        if self.renewing:
            self._supervisor.publish(
                RolloutStatus(state=self.state, session=self.session, attempts=self.attempts)
            )

    def between_rollouts(self, state: int) -> None:
        """Until the executor has heard that no rollout runs."""
        self.state = state
        self.ros.wait_for(lambda: self.node._lease.session == "")

    def running(self) -> None:
        """Until the executor has heard that the rollout runs."""
        self.state = RolloutStatus.RUNNING
        self.ros.wait_for(lambda: self.node._lease.session == self.session)

    def send(self, sequence: int, forward_m: float = 0.03, **changes: Any) -> Any:
        """Ask for a step; returns the goal's handle."""
        goal = ExecuteStep.Goal(session=self.session, sequence=sequence)
        goal.prediction.action_scale = "metric"
        goal.prediction.camera_delta.z = forward_m
        goal.prediction.gripper_probabilities = [1.0, 0.0, 0.0, 0.0]
        for field, value in changes.items():
            owner = goal if hasattr(goal, field) else goal.prediction
            setattr(owner, field, value)
        return wait_for(self._steps.send_goal_async(goal), 10.0, "goal")

    def result(self, handle: Any) -> ExecuteStep.Result:
        return wait_for(handle.get_result_async(), 20.0, "result").result

    def step(self, sequence: int, forward_m: float = 0.03, **changes: Any) -> ExecuteStep.Result:
        return self.result(self.send(sequence, forward_m, **changes))
