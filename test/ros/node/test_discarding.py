"""Entities come and go under a spinning executor, which goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import rclpy
from ros_harness import Harness, ros_context
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from vinn_ros.console.node import OperatorConsoleNode
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.node_executor import NodeExecutor, QuickGroup

pytestmark = pytest.mark.ros

ROUNDS = 300
POLL_S = 0.002
"""No message tells of what is waited for in each round."""


class Plain(VinnNode):
    """Nothing of its own."""

    NAME = "plain"


class Spun:
    """Nodes in a `NodeExecutor`, as a node's process has them."""

    def __init__(self) -> None:
        self.executor = NodeExecutor(threads=4)
        self.problem: BaseException | None = None
        self.thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except BaseException as problem:
            self.problem = problem

    def add(self, node: VinnNode) -> None:
        self.executor.add_node(node)
        if not self.thread.is_alive():
            self.thread.start()


@pytest.fixture
def ros() -> Iterator[Harness]:
    with ros_context() as harness:
        yield harness


@pytest.fixture
def spun(ros: Harness) -> Iterator[Spun]:
    spun = Spun()
    yield spun
    spun.executor.shutdown(timeout_sec=5.0)
    spun.thread.join(10.0)


def busy(node: VinnNode) -> list[int]:
    """Keep the executor waking up; counts how often it did."""
    ticks = [0]

    def tick() -> None:
        ticks[0] += 1

    node.every(0.0005, tick, QuickGroup())
    return ticks


@pytest.mark.parametrize("kind", ["subscription", "publisher"])
def test_what_is_discarded_from_another_thread_never_ends_the_spinning(
    ros: Harness, spun: Spun, kind: str
) -> None:
    node = Plain(["--ros-args"])
    ticks = busy(node)
    spun.add(node)
    talker = ros.node.create_publisher(String, "talk", qos.STREAM)
    for number in range(ROUNDS):
        if kind == "subscription":
            entity = node.subscribe(String, "talk", lambda message: None, qos.STREAM, QuickGroup())
        else:
            entity = node.create_lifecycle_publisher(String, f"said_{number % 3}", qos.STREAM)
        talker.publish(String(data="x"))
        before = ticks[0]
        ros.wait_for(lambda before=before: ticks[0] > before or spun.problem, poll_s=POLL_S)
        node.discard(entity)
        assert spun.problem is None, f"round {number}: {spun.problem!r}"
    # All were destroyed, and it still spins.
    ros.wait_for(lambda: len(list(node.subscriptions)) == 0 or spun.problem)
    before = ticks[0]
    ros.wait_for(lambda: ticks[0] > before + 10 or spun.problem)
    assert spun.problem is None
    spun.executor.remove_node(node)


def test_pages_that_come_and_go_cost_the_console_nothing(ros: Harness, spun: Spun) -> None:
    """The neighbours' picture is listened to while somebody looks."""
    console = OperatorConsoleNode(["--ros-args", "-p", "port:=0", "-p", "autostart:=false"])
    busy(console)
    for timer in console.timers:
        if timer.callback == console._look_at_mosaic:
            timer.cancel()  # the test does it, faster
    spun.add(console)
    pictures = ros.node.create_publisher(CompressedImage, "policy/neighbors/compressed", qos.NEWEST)
    for _ in range(ROUNDS // 3):
        for viewers, listeners in ((1, 1), (0, 0)):
            console.watched(viewers)
            # What its timer does twice a second, from a callback's thread as well.
            console._look_at_mosaic()
            pictures.publish(CompressedImage(data=b"x"))
            ros.wait_for(
                lambda listeners=listeners: (
                    pictures.get_subscription_count() == listeners or spun.problem
                ),
                poll_s=POLL_S,
            )
            assert spun.problem is None, repr(spun.problem)
    assert rclpy.ok()


def test_what_is_spun_by_another_executor_is_not_destroyed_under_it(ros: Harness) -> None:
    node = Plain(["--ros-args"])
    ros.executor.add_node(node)  # rclpy's own
    try:
        assert node.bring_up(), node.refusal
        entity = node.subscribe(String, "talk", lambda message: None, qos.STREAM, QuickGroup())
        with pytest.raises(TypeError, match="NodeExecutor"):
            node.discard(entity)
        node.take_down()
    finally:
        ros.executor.remove_node(node)
        node.destroy_node()
