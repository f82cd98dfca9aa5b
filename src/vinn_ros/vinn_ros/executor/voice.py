"""What the executor says of itself on `executor/status`: whole, at once and at a fixed rate."""

from __future__ import annotations

import threading
from typing import Any

from vinn.robot.types import ReasonCode

from vinn_msgs.msg import ExecutorStatus
from vinn_ros.executor.robot_link import RobotLink
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import VinnNode


class ExecutorVoice:
    """The status and its publisher. Thread-safe."""

    def __init__(self, node: VinnNode, link: RobotLink) -> None:
        """Args: who speaks, and the robot whose latch is in what it says."""
        self._node = node
        self._link = link
        self.status = ExecutorStatus(reason=ReasonCode.NONE.value)
        """For reading."""
        self._lock = threading.Lock()
        """What is said of a step changes together: nobody sees half of it."""
        self._publisher = node.create_lifecycle_publisher(
            ExecutorStatus, "executor/status", qos.STREAM
        )

    def say(self, **fields: Any) -> None:
        """Change fields of the status and publish it at once."""
        with self._lock:
            for name, value in fields.items():
                setattr(self.status, name, value)
            self._publish()
        self._node.publish_changed_diagnostics()

    def rest(self, reason: ReasonCode, message: str, **fields: Any) -> tuple[ReasonCode, str]:
        """Say that nothing moves (any more) and why; returns reason and message."""
        latched = self._link.latched is not None
        state = ExecutorStatus.LATCHED if latched else ExecutorStatus.IDLE
        self.say(state=state, reason=reason.value, message=message, **fields)
        return reason, message

    def repeat(self) -> None:
        """Publish the status as it is."""
        with self._lock:
            self._publish()

    def _publish(self) -> None:
        self.status.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(self.status)
