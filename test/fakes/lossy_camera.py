"""A camera, and whoever hears it, as processes on two machines: see test/faults/test_lossy_link.py.

python lossy_camera.py send FRAMES BYTES    # begins when a line comes; says when it is heard of
python lossy_camera.py hear                 # until a line comes; says how many distinct ones came
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from vinn_ros.node import qos
from vinn_ros.node.sensor_stream import SensorStream

TOPIC = "wrist_camera/image_raw/compressed"
RATE_HZ = 15.0
LATE_S = 3.0
"""For what was lost to be sent again."""


def send(node: Node, frames: int, size: int) -> None:
    publisher = node.create_publisher(CompressedImage, TOPIC, qos.STREAM)
    while not publisher.get_subscription_count():
        rclpy.spin_once(node, timeout_sec=0.05)
    print("heard of", flush=True)
    sys.stdin.readline()
    noise = np.random.default_rng(0)
    began_s = time.monotonic()
    for number in range(frames):
        image = CompressedImage(format="jpeg", data=noise.bytes(size))
        image.header.frame_id = str(number)
        publisher.publish(image)
        time.sleep(max(0.0, began_s + (number + 1) / RATE_HZ - time.monotonic()))
    time.sleep(LATE_S)
    print("sent", flush=True)
    sys.stdin.readline()


def hear(node: Node) -> None:
    heard: set[str] = set()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()

    def take(image: Any) -> None:
        heard.add(image.header.frame_id)

    SensorStream(node, CompressedImage, TOPIC, take, qos.STREAM)
    while not ended.is_set():
        rclpy.spin_once(node, timeout_sec=0.05)
    print(len(heard), flush=True)


def main() -> None:
    rclpy.init()
    node = Node(f"lossy_{sys.argv[1]}")
    if sys.argv[1] == "send":
        send(node, int(sys.argv[2]), int(sys.argv[3]))
    else:
        hear(node)


if __name__ == "__main__":
    main()
