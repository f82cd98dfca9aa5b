"""Whether the executor is latched by a fault, as a command line hears it."""

from __future__ import annotations

import time

from rclpy.node import Node

from vinn_msgs.msg import ExecutorStatus
from vinn_ros import qos
from vinn_ros.newest import Newest

_FOUND_WITHIN_S, _HEARD_WITHIN_S = 5.0, 15.0
"""For DDS to find the executor, and for one that was found to say something."""
_LOOK_S = 0.2


class LatchWatch:
    """Listens to `executor/status`."""

    def __init__(self, node: Node) -> None:
        """Args: a node that is spun by another thread."""
        self._node = node
        self._newest: Newest[ExecutorStatus] = Newest()
        node.create_subscription(ExecutorStatus, "executor/status", self._newest.put, qos.STREAM)

    def fault(self) -> str | None:
        """The fault that an operator has to clear; empty: none; None: no executor is heard.

        Waits for a status that comes after the call.
        """
        self._newest.take(0)
        started_s = time.monotonic()
        while (status := self._newest.take(_LOOK_S)) is None:
            found = self._node.count_publishers("executor/status") > 0
            patience_s = _HEARD_WITHIN_S if found else _FOUND_WITHIN_S
            if time.monotonic() - started_s > patience_s:
                break
        if status is None:
            return None
        if status.state != ExecutorStatus.LATCHED:
            return ""
        return f"{status.reason}: {status.message}".removesuffix(": ") or "a fault"
