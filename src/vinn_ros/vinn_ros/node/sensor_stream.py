"""Sensor streams of any driver, heard whether they are sent reliably or best effort.

A reliable subscription never hears a best-effort publisher (sensor-data QoS, which many drivers
have), and a best-effort subscription loses frames of a reliable one: a few under load, and on a
lossy link nearly every image that takes many packets. So a stream is subscribed to reliably while
every publisher offers that, and as best effort while one of them does not. Either subscription
stays once it is made, silent while the other one speaks: one that is destroyed while the executor
waits for it ends there with an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

OFFERED, RELIABLE, BEST_EFFORT = RELIABILITIES = ("offered", "reliable", "best_effort")
"""What is asked for: what all publishers offer; reliable, and who offers less is not heard; best
effort, so that nothing waits for what was lost."""
_LOOK_PERIOD_S = 1.0
"""How often publishers are looked at while one of them is best effort."""


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
        reliability: str = OFFERED,
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
            reliability: one of `RELIABILITIES`.
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
        self._is_reliable = reliability != BEST_EFFORT
        self._watch: Timer | None = None
        """Looks for the moment from which on all publishers are reliable again."""
        if reliability == OFFERED:
            self._subscribe(self._take_reliable, profile, self._unheard)
        elif reliability == RELIABLE:
            self._subscribe(callback, profile, on_incompatible)
        else:
            self._subscribe(callback, self._best_effort, on_incompatible)

    @property
    def is_reliable(self) -> bool:
        """Whether what is lost on the way is asked for again."""
        return self._is_reliable

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
        # Otherwise the other subscription hears this publisher as well.
        if self._is_reliable:
            self._callback(message)

    def _take_best_effort(self, message: Any) -> None:
        if not self._is_reliable:
            self._callback(message)

    def _unheard(self, event: Any) -> None:
        """A publisher does not offer what the reliable subscription asks for."""
        if not self._is_reliable:
            return  # the other subscription hears it, or says why not
        if event.last_policy_kind == QoSPolicyKind.RELIABILITY:
            self._is_reliable = False
            if self._watch is None:
                self._subscribe(self._take_best_effort, self._best_effort, self._on_incompatible)
                self._watch = self._node.create_timer(
                    _LOOK_PERIOD_S,
                    self._look,
                    callback_group=self._settings["callback_group"],
                    clock=Clock(clock_type=ClockType.STEADY_TIME),
                )
            self._watch.reset()
            self._node.get_logger().info(
                f"{self._topic}: sent best effort, and heard so: what is lost stays lost"
            )
        elif self._on_incompatible is not None:
            self._on_incompatible(event)

    def _look(self) -> None:
        """Hear reliably again, once nobody publishes best effort any more."""
        topic = self._node.resolve_topic_name(self._topic)
        publishers = self._node.get_publishers_info_by_topic(topic)
        if any(p.qos_profile.reliability != ReliabilityPolicy.RELIABLE for p in publishers):
            return
        if self._watch is not None:
            self._watch.cancel()
        self._is_reliable = True
        self._node.get_logger().info(f"{self._topic}: heard reliably again")
