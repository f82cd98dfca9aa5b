"""A supervisor, and the rest of the graph as a fake."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import yaml
from builtin_interfaces.msg import Time
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from ros_harness import Harness
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import Trigger
from vinn_ros.node import qos
from vinn_ros.paths import config_directory
from vinn_ros.supervisor.node import RolloutSupervisorNode

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import ExecutorStatus, Prediction, RolloutStatus
from vinn_msgs.srv import MoveToStart, StartRollout


class FakeRest(Node):
    """Camera, policy and executor: all well unless told otherwise."""

    def __init__(self) -> None:
        super().__init__("fake_rest", use_global_arguments=False)
        self.seeing = self.predicting = self.alive = True
        self.stamp = Time()
        """Of the newest image."""
        self.status = ExecutorStatus(state=ExecutorStatus.IDLE, reason="NONE")
        self.homed: list[MoveToStart.Request] = []
        self.home_reason = self.error_code = "NONE"
        self.prediction: dict[str, Any] = {"action_scale": "metric"}
        self.steps: list[ExecuteStep.Goal] = []
        self.stops = 0
        self.session, self.taken_step, self.forgetful = "", 0, False
        """What the policy knows of the rollout; forgetful: it hears of no step."""
        self.release = threading.Event()
        """Steps and homings end only when this is set."""
        self.release.set()
        group = ReentrantCallbackGroup()
        self._images = self.create_publisher(
            CompressedImage, "wrist_camera/image_raw/compressed", qos.STREAM
        )
        self._predictions = self.create_publisher(Prediction, "policy/prediction", qos.NEWEST)
        self._executor = self.create_publisher(ExecutorStatus, "executor/status", qos.STREAM)
        self.create_timer(0.02, self._publish, callback_group=ReentrantCallbackGroup())
        self.create_service(MoveToStart, "executor/home", self._home, callback_group=group)
        self.create_service(Trigger, "executor/stop", self._stop, callback_group=group)
        self.create_subscription(
            RolloutStatus,
            "supervisor/status",
            lambda status: self.take_rollout(status),
            qos.STREAM,
            callback_group=group,
        )
        self._server = ActionServer(
            self,
            ExecuteStep,
            "executor/step",
            self._step,
            callback_group=group,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def _publish(self) -> None:
        if self.seeing:
            self.stamp = self.get_clock().now().to_msg()
            image = CompressedImage(format="jpeg", data=b"x")
            image.header.stamp = self.stamp
            self._images.publish(image)
        if self.predicting:
            prediction = Prediction(**self.prediction, image_age_s=0.01, novelty=0.1)
            prediction.gripper_probabilities = [1.0, 0.0, 0.0, 0.0]
            prediction.header.stamp = self.stamp
            prediction.session, prediction.after_step = self.session, self.taken_step
            self._predictions.publish(prediction)
        if self.alive:
            self._executor.publish(self.status)

    def take_rollout(self, status: RolloutStatus) -> None:
        session = status.session if status.state == RolloutStatus.RUNNING else ""
        if session != self.session:
            self.session, self.taken_step = session, 0

    def _home(self, request: Any, response: Any) -> Any:
        self.homed.append(request)
        self.release.wait(20.0)
        response.success = self.home_reason == "NONE"
        response.reason = self.home_reason
        return response

    def _stop(self, request: Any, response: Any) -> Any:
        self.stops += 1
        self.release.set()
        response.success = True
        return response

    def _step(self, goal: Any) -> ExecuteStep.Result:
        self.steps.append(goal.request)
        self.release.wait(20.0)
        goal.succeed()
        result = ExecuteStep.Result(error_code=self.error_code)
        result.sent.arm_m, result.attempt = 0.1, 1
        if not self.forgetful:
            self.taken_step = goal.request.sequence
        return result


def patient_rollouts(directory: Path) -> Path:
    """The robot's settings of rollouts, borne with a machine whose messages are late."""
    settings = yaml.safe_load((config_directory() / "robot" / "rollout.yaml").read_text())
    settings["preflight"]["max_clock_difference_s"] = 3600.0
    (directory / "rollout.yaml").write_text(yaml.safe_dump(settings))
    return directory / "rollout.yaml"


class Bench:
    def __init__(self, ros: Harness, directory: Path, *parameters: str) -> None:
        self.ros, self.directory = ros, directory / "recordings"
        directory.mkdir(parents=True, exist_ok=True)
        self.rest = ros.add(FakeRest())
        self.node = ros.add(
            RolloutSupervisorNode(
                [
                    "--ros-args",
                    "-p",
                    f"recordings:={self.directory}",
                    # Patient: the machine that runs the tests may be busy.
                    *("-p", "prediction_timeout_s:=2.0"),
                    *("-p", "policy_timeout_s:=2.0"),
                    *("-p", "camera_timeout_s:=1.5"),
                    *("-p", "executor_timeout_s:=2.0"),
                    *("-p", f"rollout_config:={patient_rollouts(directory)}"),
                    *(word for value in parameters for word in ("-p", value)),
                ]
            )
        )
        self.statuses = ros.listen(RolloutStatus, "supervisor/status")
        ros.wait_for(lambda: self.node._links.fault() is None)
        ros.wait_for(lambda: self.node._policy.not_seeing() is None)

    def reset(self) -> Trigger.Response:
        return self.ros.call(Trigger, "supervisor/reset")

    def start(self, max_steps: int = 3, name: str = "") -> StartRollout.Response:
        request = StartRollout.Request(max_steps=max_steps, name=name)
        return self.ros.call(StartRollout, "supervisor/start_rollout", request)

    def wait_state(self, state: int, reason: str = "") -> RolloutStatus:
        """Until the newest status says so; an answer may overtake the status before it."""

        def there() -> RolloutStatus | None:
            newest = self.statuses[-1] if self.statuses else RolloutStatus()
            meant = newest.state == state and reason in ("", newest.reason)
            return newest if meant else None

        return self.ros.wait_for(there)
