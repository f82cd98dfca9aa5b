#!/bin/sh
# rmw_fastrtps_cpp 9.3.3 on Fast DDS 3.2.3 (ROS 2 Kilted): a RELIABLE publisher and a RELIABLE subscription
# across a link that loses 10 % of its packets, images of 14 kB at 15 Hz. By default most never
# arrive: each image is one datagram of ten IP fragments, a repair is all ten again, and the incomplete ones
# fill what the kernel keeps of fragments (net.ipv4.ipfrag_high_thresh, 4 MiB, for 30 s). With
# <maxMessageSize>1400</maxMessageSize> the lost pieces alone are sent again. A subscription of depth 1
# (for whoever wants the newest image) still loses a third, for good: the next image's first piece takes
# the place of the one that waits for a repair. With depth 10 all arrive.
#
# Needs root (network namespaces, a raw socket); it loses packets itself: not every kernel has tc netem.
#
# Output seen:
#   rclpy 9.1.2
#   messages of 65500 bytes (default), depth 10: 40 of 90 images
#   messages of 1400 bytes, depth 1: 60 of 90 images
#   messages of 1400 bytes, depth 10: 90 of 90 images
set -eu
work=$(mktemp -d)
a="loss$$a" b="loss$$b"
trap 'ip link del "$a" 2>/dev/null || true; ip link del "$b" 2>/dev/null || true
      ip netns del "$a" 2>/dev/null || true; ip netns del "$b" 2>/dev/null || true; rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet 'ros-rclpy[fastrtps]==9.1.2' \
    ros-sensor-msgs==5.5.1 ros-rmw-fastrtps-cpp==9.3.3 ros-fastdds==3.2.3
n=1
for host in "$a" "$b"; do
    ip netns add "$host"
    ip link add "$host" type veth peer name eth0 netns "$host"
    ip link set "$host" up
    ip -n "$host" addr add "10.78.0.$n/24" dev eth0
    ip -n "$host" link set eth0 up
    ip -n "$host" link set lo up
    n=$((n + 1))
done
for limit in 65500 1400; do
    cat > "$work/$limit.xml" <<XML
<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com">
  <profiles>
    <transport_descriptors>
      <transport_descriptor>
        <transport_id>udp</transport_id>
        <type>UDPv4</type>
        <maxMessageSize>$limit</maxMessageSize>
      </transport_descriptor>
    </transport_descriptors>
    <participant profile_name="udp_alone" is_default_profile="true">
      <rtps>
        <useBuiltinTransports>false</useBuiltinTransports>
        <userTransports><transport_id>udp</transport_id></userTransports>
      </rtps>
    </participant>
  </profiles>
</dds>
XML
done
cat > "$work/end.py" <<'PYTHON'
"""One end: `fix` its packets' checksums, `send` images, or `hear` them with a history of so many."""

import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import time

if sys.argv[1] == "fix":  # complete checksums: a raw socket is no hardware that would fill them in
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))
        fcntl.ioctl(any_socket, 0x8946, struct.pack("16sP", b"eth0", ctypes.addressof(value)))
    sys.exit()
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

rclpy.init()
node = rclpy.create_node(sys.argv[1])
if sys.argv[1] == "send":
    publisher = node.create_publisher(CompressedImage, "image", QoSProfile(depth=10))
    while not publisher.get_subscription_count():
        rclpy.spin_once(node, timeout_sec=0.05)
    print("heard of", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for number in range(90):
        image = CompressedImage(format="jpeg", data=os.urandom(14_000))
        image.header.frame_id = str(number)
        publisher.publish(image)
        time.sleep(max(0.0, began + (number + 1) / 15 - time.monotonic()))
    time.sleep(3.0)
    print("sent", flush=True)
    sys.stdin.readline()
else:
    heard = set()
    node.create_subscription(
        CompressedImage,
        "image",
        lambda image: heard.add(image.header.frame_id),
        QoSProfile(depth=int(sys.argv[2])),
    )
    while not select.select([sys.stdin], [], [], 0)[0]:
        rclpy.spin_once(node, timeout_sec=0.02)
    print(len(heard), flush=True)
PYTHON
cat > "$work/link.py" <<'PYTHON'
"""Carries frames between two devices and loses what LOSS says, in a thread; runs the three cases."""

import os
import random
import select
import socket
import subprocess
import sys
import threading
from importlib.metadata import version

work, *hosts = sys.argv[1:]
loss = [0.0]


def carry():
    ends = []
    for host in hosts:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.setsockopt(socket.SOL_SOCKET, 33, 16 * 2**20)  # SO_RCVBUFFORCE: none is lost unasked
        end.bind((host, 0))
        ends.append(end)
    chance = random.Random(0)
    while True:
        for end in select.select(ends, [], [])[0]:
            frame, address = end.recvfrom(65536)
            if address[2] != 4 and chance.random() >= loss[0]:  # 4: what this device sends itself
                ends[1 - ends.index(end)].send(frame)


def start(host, limit, *arguments):
    return subprocess.Popen(
        ["ip", "netns", "exec", host, sys.executable, f"{work}/end.py", *arguments],
        env={
            **os.environ,
            "FASTDDS_DEFAULT_PROFILES_FILE": f"{work}/{limit}.xml",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


for host in hosts:
    start(host, 1400, "fix").wait()
threading.Thread(target=carry, daemon=True).start()
print("rclpy", version("ros-rclpy"))
shares = []
for name, limit, depth in (
    ("messages of 65500 bytes (default), depth 10", 65500, 10),
    ("messages of 1400 bytes, depth 1", 1400, 1),
    ("messages of 1400 bytes, depth 10", 1400, 10),
):
    loss[0] = 0.0
    listener, camera = start(hosts[1], limit, "hear", str(depth)), start(hosts[0], limit, "send")
    camera.stdout.readline()
    loss[0] = 0.1
    tell(camera)
    loss[0] = 0.0
    heard = int(tell(listener))
    tell(camera)
    print(f"{name}: {heard} of 90 images", flush=True)
    shares.append(heard / 90)
    listener.wait()
    camera.wait()
first, second, third = shares
sys.exit(not (first < 0.6 and second < 0.9 and third > 0.95))
PYTHON
"$work/env/bin/python" "$work/link.py" "$work" "$a" "$b"
