"""A bad network for tests: passes a topic on late, twice, in another order, or not at all."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from vinn_ros.node import qos


@dataclass
class BadNetwork:
    """What happens to each message; may be changed while the relay runs."""

    delay_s: tuple[float, float] = (0.0, 0.0)
    """Shortest and longest; drawn anew for each message, so that they overtake one another."""
    drop: float = 0.0
    duplicate: float = 0.0
    """Probabilities."""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def deliveries_s(self) -> list[float]:
        """After which delays a message arrives; empty: never."""
        count = 0 if self.rng.random() < self.drop else 1 + (self.rng.random() < self.duplicate)
        return [float(self.rng.uniform(*self.delay_s)) for _ in range(count)]


class Relay(Node):
    """Passes `source` on to `target` through a `BadNetwork`, without decoding."""

    def __init__(self, message_type: Any, source: str, target: str, network: BadNetwork) -> None:
        name = f"relay_{target.strip('/').replace('/', '_')}"
        super().__init__(name, use_global_arguments=False)
        self.network = network
        self.taken = self.dropped = 0
        self._due: list[tuple[float, int, bytes]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._publisher = self.create_publisher(message_type, target, qos.RECORD)
        self.create_subscription(
            message_type,
            source,
            self._take,
            qos.RECORD,
            callback_group=MutuallyExclusiveCallbackGroup(),
            raw=True,
        )
        self._thread = threading.Thread(target=self._deliver, name=name, daemon=True)
        self._thread.start()

    def take_down(self) -> None:
        """Deliver nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=2.0)

    def _take(self, cdr: bytes) -> None:
        now_s = time.monotonic()
        with self._changed:
            self.taken += 1
            deliveries_s = self.network.deliveries_s()
            self.dropped += not deliveries_s
            self._due += [(now_s + delay_s, self.taken, cdr) for delay_s in deliveries_s]
            self._due.sort(key=lambda due: due[:2])
            self._changed.notify_all()

    def _deliver(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    wait_s = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(wait_s)
                if self._closed:
                    return
                _, _, cdr = self._due.pop(0)
            self._publisher.publish(cdr)
