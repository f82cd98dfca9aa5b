"""Topics that one node alone may publish: two of a kind on one network fight over the robot.

What is known is the graph as discovery sees it: a node that has just begun is seen after a moment,
and one that was killed is only forgotten when its lease has run out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rclpy.node import Node

OURS_FORGOTTEN_S = 7.0
"""A killed node of this package: the lease in `config/fastdds.xml`, and the way."""
OTHERS_FORGOTTEN_S = 22.0
"""Fast DDS's own lease, for whoever keeps the default."""
_POLL_S = 0.1

COMMANDERS: Mapping[str, float] = {
    "supervisor/status": OURS_FORGOTTEN_S,
    "executor/status": OURS_FORGOTTEN_S,
    "joint_pose_cmd": OURS_FORGOTTEN_S,
    "stretch/joint_states": OTHERS_FORGOTTEN_S,
}
"""Who moves the robot, and the robot: topics, and how long a dead publisher is remembered [s]."""
SEERS: Mapping[str, float] = {
    "policy/prediction": OURS_FORGOTTEN_S,
    "wrist_camera/image_raw/compressed": OTHERS_FORGOTTEN_S,
}
"""Who decides what it does, and by what."""


class SolePublishers:
    """Looks whether any of some topics has more than one publisher. Thread-safe, microseconds."""

    def __init__(self, node: Node, topics: Mapping[str, float]) -> None:
        """Args: the node that looks; topics, and how long their dead are remembered [s]."""
        self._node = node
        self._topics = {node.resolve_topic_name(topic): s for topic, s in topics.items()}

    def problem(self) -> str:
        """Which topic is published by whom, for people; empty: all is well."""
        return next((self._named(topic) for topic in self._topics if self._several(topic)), "")

    def settled_problem(self, stopped: Callable[[], bool], tell: Callable[[str], None]) -> str:
        """The same, once those that were killed are forgotten; waits for that.

        Args:
            stopped: polled; True ends the waiting.
            tell: told what is waited for.
        """
        began_s = time.monotonic()
        told = ""
        while True:
            several = [topic for topic in self._topics if self._several(topic)]
            if not several:
                return ""
            waited_s = time.monotonic() - began_s
            named = self._named(several[0])
            if stopped() or all(waited_s > self._topics[topic] for topic in several):
                return named
            if named != told:
                told = named
                tell(f"{named}: waiting, in case one of them has just ended")
            time.sleep(_POLL_S)

    def _several(self, topic: str) -> bool:
        return bool(self._node.count_publishers(topic) > 1)

    def _named(self, topic: str) -> str:
        found = self._node.get_publishers_info_by_topic(topic)
        names = sorted(f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in found)
        return f"{topic}: published by {', '.join(names)}; allowed: one node"
