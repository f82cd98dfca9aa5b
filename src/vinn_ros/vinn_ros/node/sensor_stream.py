"""Sensor streams of any driver, heard whether they are sent reliably or best effort.

A reliable subscription never hears a best-effort publisher (sensor-data QoS, which many drivers
have), and a best-effort subscription loses frames of a reliable one under load. So a stream is
subscribed to reliably, and from when a publisher shows up that offers no more, as best effort. The
first subscription stays, silent: one that is destroyed while the executor waits for it ends there
with an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks


class SensorStream:
    """A subscription to what a sensor or a robot's driver publishes."""

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        group: Any = None,
        raw: bool = False,
        on_incompatible: Callable[[Any], None] | None = None,
    ) -> None:
        """As `Node.create_subscription`.

        Args:
            node: who listens.
            message_type: of the topic.
            topic: its name.
            callback: gets each message.
            profile: reliable; history and depth stay when it becomes best effort.
            group: of the callbacks.
            raw: whether the callback gets serialised messages.
            on_incompatible: told of a publisher that cannot be heard for another reason.
        """
        self._node = node
        self._topic = topic
        self._message_type = message_type
        self._callback = callback
        self._settings = {"callback_group": group, "raw": raw}
        self._best_effort = QoSProfile(
            history=profile.history,
            depth=profile.depth,
            reliability=ReliabilityPolicy.BEST_EFFORT,
            durability=profile.durability,
        )
        self._on_incompatible = on_incompatible
        self._is_reliable = True
        self._subscribe(self._take_reliable, profile, self._unheard)

    def _subscribe(
        self,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        on_incompatible: Callable[[Any], None] | None,
    ) -> None:
        self._node.create_subscription(
            self._message_type,
            self._topic,
            callback,
            profile,
            # The default callbacks would be one more thing to wait for with each subscription.
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=on_incompatible, use_default_callbacks=False
            ),
            **self._settings,
        )

    def _take_reliable(self, message: Any) -> None:
        # Later, the other subscription hears this publisher as well.
        if self._is_reliable:
            self._callback(message)

    def _unheard(self, event: Any) -> None:
        """A publisher does not offer what the reliable subscription asks for."""
        if not self._is_reliable:
            return  # the other subscription hears it, or says why not
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY:
            self._is_reliable = False
            self._subscribe(self._callback, self._best_effort, self._on_incompatible)
            self._node.get_logger().info(
                f"{self._topic}: sent best effort, and heard so: what is lost stays lost"
            )
        elif self._on_incompatible is not None:
            self._on_incompatible(event)
