"""Says on one topic, for two seconds, what another version of this software or nonsense would say.

python -m measure.robustness.foreign_messages policy_status       (or another one of SAYINGS)
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.node import Node
from vinn_ros.node import qos

from vinn_msgs.msg import ExecutorStatus, PolicyStatus, Prediction, RolloutStatus, SceneStatus

SECONDS = 2.0
_PERIOD_S = 0.02


def _prediction(number: int, node: Node) -> Prediction:
    message = Prediction(
        sequence=number,
        policy="of another house",
        action_scale=("furlong", "unit", "")[number % 3],
        image_age_s=(math.nan, 0.01, math.inf)[number % 3],
    )
    message.camera_delta.x = (math.nan, 1e300, 0.5)[number % 3]
    message.header.stamp = node.get_clock().now().to_msg()
    return message


def _executor(number: int, node: Node) -> ExecutorStatus:
    return ExecutorStatus(state=(3, 9, 255)[number % 3], reason="BEWITCHED", message="by whom?")


SAYINGS: dict[str, tuple[str, type, Callable[[int, Node], Any]]] = {
    "policy_status": (
        "policy/status",
        PolicyStatus,
        lambda number, node: PolicyStatus(reason=("BEWITCHED", "", "none")[number % 3]),
    ),
    "executor_status": ("executor/status", ExecutorStatus, _executor),
    "prediction": ("policy/prediction", Prediction, _prediction),
    "scene": (
        "scene/status",
        SceneStatus,
        lambda number, node: SceneStatus(door_angle_rad=math.nan, opened=bool(number % 2)),
    ),
    "supervisor_status": (
        "supervisor/status",
        RolloutStatus,
        lambda number, node: RolloutStatus(
            state=number % 256, outcome=number % 256, elapsed_s=math.nan, session="another"
        ),
    ),
}


def main() -> None:
    """Say it."""
    topic, message_type, make = SAYINGS[sys.argv[1]]
    rclpy.init()
    node = Node("of_another_version", use_global_arguments=False)
    publisher = node.create_publisher(message_type, topic, qos.STREAM)
    deadline_s, number = time.monotonic() + 10.0, 0
    while publisher.get_subscription_count() == 0 and time.monotonic() < deadline_s:
        time.sleep(_PERIOD_S)
    deadline_s = time.monotonic() + SECONDS
    while time.monotonic() < deadline_s:
        number += 1
        publisher.publish(make(number, node))
        time.sleep(_PERIOD_S)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
