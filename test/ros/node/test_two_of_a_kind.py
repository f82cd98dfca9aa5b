"""Two nodes where one is allowed: seen, named, and nothing moves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_bench import Bench as ExecutorBench
from rclpy.action import ActionClient
from rclpy.node import Node
from ros_harness import Harness
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float64MultiArray
from supervisor_bench import Bench as SupervisorBench
from vinn_ros.executor.node import StretchExecutorNode
from vinn_ros.node import qos
from vinn_ros.node.sole_publishers import COMMANDERS, SEERS, SolePublishers

from vinn_msgs.msg import ExecutorStatus, Prediction, RolloutStatus
from vinn_msgs.srv import MoveToStart

pytestmark = pytest.mark.ros

TYPES = {
    "supervisor/status": RolloutStatus,
    "executor/status": ExecutorStatus,
    "joint_pose_cmd": Float64MultiArray,
    "stretch/joint_states": JointState,
    "policy/prediction": Prediction,
    "wrist_camera/image_raw/compressed": CompressedImage,
}
FORGOTTEN_S = 0.5
"""A second one is waited for so long, instead of as long as discovery remembers the dead."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for wing in ("supervisor", "executor"):
        name = f"vinn_ros.{wing}.node.COMMANDERS"
        monkeypatch.setattr(name, dict.fromkeys(COMMANDERS, FORGOTTEN_S))
    monkeypatch.setattr("vinn_ros.supervisor.node.SEERS", dict.fromkeys(SEERS, FORGOTTEN_S))


class Others:
    """Nodes that publish what somebody else may, too; destroyed by the fixture, when nobody
    waits."""

    def __init__(self, ros: Harness) -> None:
        self._ros = ros
        self.nodes: list[Node] = []

    def add(self, topic: str, count: int = 1, name: str = "another") -> list[Any]:
        made = []
        for _ in range(count):
            node = Node(name, use_global_arguments=False)
            self.nodes.append(node)
            made.append(node.create_publisher(TYPES[topic], topic, qos.STREAM))
        return made

    def leave(self) -> None:
        for node in self.nodes:
            node.destroy_node()
        self.nodes = []


@pytest.fixture
def others(ros: Harness) -> Iterator[Others]:
    others = Others(ros)
    yield others
    others.leave()


def test_every_topic_is_known_here() -> None:
    assert TYPES.keys() == COMMANDERS.keys() | SEERS.keys()


@pytest.mark.parametrize("topic", sorted(TYPES))
def test_a_second_publisher_is_named_and_keeps_a_reset_from_moving(
    ros: Harness, tmp_path: Path, others: Others, topic: str
) -> None:
    bench = SupervisorBench(ros, tmp_path)
    # Of the topics that nobody here publishes, it takes two to have a second.
    others.add(topic, 2 - bench.node.count_publishers(topic))
    ros.wait_for(bench.node._sole.problem)
    answer = bench.reset()
    assert not answer.success
    assert answer.message.startswith(f"DUPLICATE_NODE: /{topic}: published by ")
    assert "/another" in answer.message
    assert bench.rest.homed == []
    level, message, _ = bench.node.diagnose()
    assert (level, "DUPLICATE_NODE" in message) == (b"\x02", True)
    others.leave()
    ros.wait_for(lambda: not bench.node._sole.problem())
    assert bench.reset().success


@pytest.mark.parametrize("topic", ["supervisor/status", "executor/status", "policy/prediction"])
def test_a_second_publisher_in_a_rollout_ends_it(
    ros: Harness, tmp_path: Path, others: Others, topic: str
) -> None:
    bench = SupervisorBench(ros, tmp_path)
    assert bench.reset().success
    assert bench.start(max_steps=10_000).accepted
    ros.wait_for(lambda: len(bench.rest.steps) >= 2)
    others.add(topic)
    status = bench.wait_state(RolloutStatus.ENDED)
    assert status.reason == "DUPLICATE_NODE"
    assert "/another" in status.message
    assert bench.start().reason == "NOT_READY"


def test_one_that_leaves_in_time_is_waited_for(
    ros: Harness, tmp_path: Path, others: Others
) -> None:
    """What a node that was killed looks like, until discovery forgets it."""
    others.add("executor/status", 2)
    node = ros.add(Node("looker", use_global_arguments=False))
    sole = SolePublishers(node, {"executor/status": 30.0, "joint_pose_cmd": 0.1})
    ros.wait_for(sole.problem)
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        others.leave()

    assert sole.settled_problem(lambda: False, tell) == ""
    assert len(told) == 1 and "executor/status" in told[0]
    others.add("joint_pose_cmd", 3)
    ros.wait_for(sole.problem)
    assert "joint_pose_cmd" in sole.settled_problem(lambda: False, told.append)
    # Whoever is told to stop does not wait.
    others.add("executor/status", 2)
    ros.wait_for(lambda: node.count_publishers("executor/status") == 2)
    assert sole.settled_problem(lambda: True, told.append)


class ClientOfTwo(ActionClient):
    """rclpy's own ends its executor's spinning when two servers accept a goal, if the second answer
    comes before the first one's callbacks have run."""

    async def execute(self, taken_data: Any) -> None:
        with contextlib.suppress(RuntimeError):
            await super().execute(taken_data)


def test_of_two_executors_none_moves(
    ros: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request reaches both: neither may think that it is the only one."""
    monkeypatch.setattr("executor_bench.ActionClient", ClientOfTwo)
    bench = ExecutorBench(ros, tmp_path, "streaming")
    assert bench.step(1).error_code == "NONE"
    second = ros.add(
        StretchExecutorNode(
            ["--ros-args", "-r", "__node:=second", "-p", f"robot_config:={tmp_path / 'robot.yaml'}"]
        )
    )
    for node in (bench.node, second):
        ros.wait_for(node._sole.problem)
    moved = len(bench.robot.motions())
    result = bench.step(2)
    assert result.error_code == "DUPLICATE_NODE"
    assert "/second" in result.error_msg and "/stretch_executor" in result.error_msg
    bench.between_rollouts(RolloutStatus.RESETTING)
    request = MoveToStart.Request()
    request.offset.x = 0.05
    for _ in range(4):
        assert bench.ros.call(MoveToStart, "executor/home", request).reason in (
            "DUPLICATE_NODE",
            "BUSY",
        )
    assert len(bench.robot.motions()) == moved
