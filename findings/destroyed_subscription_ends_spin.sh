#!/bin/sh
# rclpy 9.1.2 (ROS 2 Kilted), Fast DDS 3.2.3: a subscription that is destroyed by another thread than the
# one that spins ends Executor.spin with an exception. Node.destroy_subscription says nothing of
# threads, and an executor with threads of its own (MultiThreadedExecutor) destroys from another one
# by nature.
#
# While it gathers what to wait for, Executor._wait_for_ready_callbacks leaves out subscriptions,
# timers, clients and services that have gone (InvalidHandle), but keeps waitables that it could not
# enter: a subscription's QoS event handler (there by default) is then added to the wait set all the
# same and raises.
#
# Output seen:
#   rclpy 9.1.2
#   spin ended in round 99: InvalidHandle: cannot use Destroyable because destruction was requested
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet 'ros-rclpy[fastrtps]==9.1.2' \
    ros-std-msgs==5.5.1 ros-rmw-fastrtps-cpp==9.3.3 ros-fastdds==3.2.3
cat > "$work/run.py" <<'PYTHON'
import sys
import threading
import time
from importlib.metadata import version

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

ROUNDS = 20000
print("rclpy", version("ros-rclpy"), flush=True)
rclpy.init(domain_id=73)
node = Node("finding", use_global_arguments=False)
node.create_timer(0.0005, lambda: None)  # so that it waits anew again and again
executor = MultiThreadedExecutor(num_threads=4)
executor.add_node(node)
ended = []


def spin():
    try:
        executor.spin()
    except Exception as problem:
        ended.append(problem)


spinner = threading.Thread(target=spin, daemon=True)
spinner.start()
deadline = time.monotonic() + 300.0
for number in range(1, ROUNDS + 1):
    subscription = node.create_subscription(String, "talk", lambda message: None, 10)
    time.sleep(0.002)
    node.destroy_subscription(subscription)
    if ended or time.monotonic() > deadline:
        break
if ended:
    spinner.join(5.0)
    print(f"spin ended in round {number}: {type(ended[0]).__name__}: {ended[0]}", flush=True)
    sys.stdout.flush()
    import os

    os._exit(0 if "destruction was requested" in str(ended[0]) else 1)
print(f"spin went on for {number} rounds: the behaviour has changed", flush=True)
import os

os._exit(1)
PYTHON
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST "$work/env/bin/python" "$work/run.py"
