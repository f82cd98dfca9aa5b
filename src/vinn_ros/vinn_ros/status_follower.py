"""The supervisor's status, for commands that wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.node import Node
from vinn.errors import RobotError

from vinn_msgs.msg import RolloutStatus
from vinn_ros.node import qos

_SILENT_S = 5.0


class StatusFollower:
    """Hears the status and keeps the newest. Thread-safe; another thread spins the node."""

    def __init__(
        self, node: Node, on_status: Callable[[RolloutStatus], None] | None = None
    ) -> None:
        self._on_status = on_status
        self._news = threading.Condition()
        self._status: RolloutStatus | None = None
        self._fresh = False
        node.create_subscription(RolloutStatus, "supervisor/status", self._take, qos.STREAM)

    def next(self, timeout_s: float) -> RolloutStatus | None:
        """The next status; None: none came in time."""
        with self._news:
            self._fresh = False
            self._news.wait_for(lambda: self._fresh, timeout_s)
            return self._status if self._fresh else None

    def newest(self) -> RolloutStatus:
        """The newest status; all zero: none came yet."""
        return self._status or RolloutStatus()

    def wait_for_end(self, session: str) -> RolloutStatus:
        """The status in which `session` has ended.

        Raises:
            vinn.errors.RobotError: the supervisor is silent.
        """
        while True:
            status = self.next(_SILENT_S)
            if status is None:
                raise RobotError(f"supervisor/status: nothing received in {_SILENT_S:g} s")
            if status.session == session and status.state == RolloutStatus.ENDED:
                return status

    def mute(self) -> None:
        """Tell nobody any more."""
        self._on_status = None

    def _take(self, status: RolloutStatus) -> None:
        tell = self._on_status
        if tell is not None:
            tell(status)
        with self._news:
            self._status, self._fresh = status, True
            self._news.notify_all()
