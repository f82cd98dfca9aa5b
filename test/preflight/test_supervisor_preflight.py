"""The supervisor refuses to reset and to start while something is wrong, and says what."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import BatteryState, CompressedImage
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from vinn_ros.node import qos
from vinn_ros.paths import config_directory
from vinn_ros.supervisor.node import RolloutSupervisorNode

from vinn_msgs.msg import ExecutorStatus, Prediction, RolloutStatus
from vinn_msgs.srv import MoveToStart, StartRollout

pytestmark = pytest.mark.ros


class FakeRest(Node):
    """Robot flags, camera, policy and executor: all well unless told otherwise."""

    def __init__(self) -> None:
        super().__init__("fake_rest", use_global_arguments=False)
        self.flags: dict[str, Any] = {
            "is_homed": Bool(data=True),
            "is_runstopped": Bool(data=False),
            "mode": String(data="position"),
            "tool": String(data="tool_stretch_dex_wrist"),
            "battery": BatteryState(voltage=12.5),
        }
        self.status = ExecutorStatus(state=ExecutorStatus.IDLE, reason="NONE")
        self.homed = self.stopped = 0
        self._flags = {
            name: self.create_publisher(type(message), name, qos.STREAM)
            for name, message in self.flags.items()
        }
        self._images = self.create_publisher(
            CompressedImage, "wrist_camera/image_raw/compressed", qos.STREAM
        )
        self._predictions = self.create_publisher(Prediction, "policy/prediction", qos.NEWEST)
        self._executor = self.create_publisher(ExecutorStatus, "executor/status", qos.STREAM)
        group = ReentrantCallbackGroup()
        self.create_timer(0.03, self._publish, callback_group=ReentrantCallbackGroup())
        self.create_service(MoveToStart, "executor/home", self._home, callback_group=group)
        self.create_service(Trigger, "executor/stop", self._stop, callback_group=group)

    def _publish(self) -> None:
        for name, message in self.flags.items():
            self._flags[name].publish(message)
        self._images.publish(CompressedImage(format="jpeg", data=b"x"))
        prediction = Prediction(action_scale="metric", image_age_s=0.01, novelty=0.1)
        prediction.gripper_probabilities = [1.0, 0.0, 0.0, 0.0]
        self._predictions.publish(prediction)
        self._executor.publish(self.status)

    def _home(self, request: Any, response: Any) -> Any:
        self.homed += 1
        response.success, response.reason = True, "NONE"
        return response

    def _stop(self, request: Any, response: Any) -> Any:
        self.stopped += 1
        response.success, response.message = True, "stopping"
        return response


class Bench:
    def __init__(self, ros: Any, directory: Path, *settings: str) -> None:
        self.ros = ros
        self.rest = ros.add(FakeRest())
        arguments = ["--ros-args"]
        for setting in (
            f"recordings:={directory}",
            f"robot_config:={config_directory() / 'robot' / 'stretch.yaml'}",
            # Patient: the machine that runs the tests may be busy.
            "prediction_timeout_s:=2.0",
            "policy_timeout_s:=2.0",
            "camera_timeout_s:=1.5",
            "executor_timeout_s:=2.0",
            *settings,
        ):
            arguments += ["-p", setting]
        self.node = ros.add(RolloutSupervisorNode(arguments))
        self.statuses = ros.listen(RolloutStatus, "supervisor/status")
        ros.wait_for(lambda: self.node._links.fault() is None)
        ros.wait_for(lambda: self.node._policy.not_seeing() is None)
        ros.wait_for(
            lambda: self.node._reset.refusal(by_policy=True) is None or "disk" in self.refused()
        )
        ros.wait_for(lambda: self.node._probe.observe().battery_v is not None)

    def refused(self) -> str:
        refusal = self.node._reset.refusal(by_policy=True)
        return refusal[1] if refusal else ""

    def reset(self) -> Trigger.Response:
        return self.ros.call(Trigger, "supervisor/reset")

    def start(self) -> StartRollout.Response:
        return self.ros.call(
            StartRollout, "supervisor/start_rollout", StartRollout.Request(max_steps=1)
        )

    def change(self, name: str, message: Any, reason: str) -> None:
        """Until the supervisor has heard it and refuses for that reason."""
        self.rest.flags[name] = message

        def refuses() -> bool:
            refusal = self.node._reset.refusal(by_policy=True)
            return refusal is not None and refusal[0].value == reason

        self.ros.wait_for(refuses)


@pytest.fixture
def bench(ros: Any, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(ros, tmp_path)


FAULTS = [
    ("is_homed", Bool(data=False), "NOT_HOMED", "vinn-operator home"),
    ("is_runstopped", Bool(data=True), "RUNSTOP", "release"),
    ("battery", BatteryState(voltage=9.5), "LOW_BATTERY", "9.5 V"),
    ("tool", String(data="tool_none"), "WRONG_TOOL", "tool_stretch_dex_wrist"),
]


@pytest.mark.parametrize(("topic", "message", "reason", "says"), FAULTS)
def test_reset_and_start_are_refused_with_a_plain_reason(
    bench: Bench, topic: str, message: Any, reason: str, says: str
) -> None:
    assert bench.reset().success
    homed = bench.rest.homed
    bench.change(topic, message, reason)
    answer = bench.start()
    assert (answer.accepted, answer.reason) == (False, reason)
    assert says in answer.message
    refused = bench.reset()
    assert not refused.success
    assert refused.message.startswith(reason)
    # Nothing was asked to move.
    assert bench.rest.homed == homed
    bench.ros.wait_for(lambda: bench.statuses[-1].reason == reason)


def test_a_full_disk_refuses_the_start(ros: Any, tmp_path: Path) -> None:
    bench = Bench(ros, tmp_path, "min_free_mib:=1048576")
    assert bench.reset().success
    assert bench.start().reason == "LOW_DISK"


def test_a_changed_setting_voids_what_was_prepared(bench: Bench) -> None:
    assert bench.reset().success
    bench.rest.status = ExecutorStatus(
        state=ExecutorStatus.IDLE, reason="NOT_READY", message="scale_up changed: reset first"
    )
    # The newest may still be one from before the reset: idle as well, for another reason.
    bench.ros.wait_for(
        lambda: (
            bench.statuses[-1].state == RolloutStatus.IDLE
            and "scale_up" in bench.statuses[-1].message
        )
    )
    assert bench.start().reason == "NOT_READY"


def test_a_reset_waits_for_the_environment(ros: Any, tmp_path: Path) -> None:
    bench = Bench(ros, tmp_path, "confirm_environment:=true")
    assert not ros.call(Trigger, "supervisor/environment_ready").success
    with ThreadPoolExecutor(1) as pool:
        reset = pool.submit(bench.reset)
        ros.wait_for(lambda: bench.statuses and "environment" in bench.statuses[-1].message)
        assert bench.statuses[-1].state == RolloutStatus.RESETTING
        assert not reset.done()
        assert ros.call(Trigger, "supervisor/environment_ready").success
        assert reset.result(20.0).success
    ros.wait_for(lambda: bench.statuses[-1].state == RolloutStatus.READY)


def test_the_wait_for_the_environment_is_bounded_and_can_be_stopped(
    ros: Any, tmp_path: Path
) -> None:
    bench = Bench(ros, tmp_path, "confirm_environment:=true", "environment_timeout_s:=0.3")
    assert bench.reset().message.startswith("TIMEOUT")
    bench.node._reset._settings = bench.node._reset._settings.__class__(
        **{**vars(bench.node._reset._settings), "environment_timeout_s": 60.0}
    )
    with ThreadPoolExecutor(1) as pool:
        reset = pool.submit(bench.reset)
        ros.wait_for(lambda: bench.node._reset.waiting)
        assert ros.call(Trigger, "supervisor/stop_rollout").success
        assert reset.result(20.0).message.startswith("OPERATOR_STOP")
