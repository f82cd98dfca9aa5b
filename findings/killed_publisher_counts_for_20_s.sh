#!/bin/sh
# rmw_fastrtps_cpp 9.3.3 on Fast DDS 3.2.3 (ROS 2 Kilted): a publisher whose process was killed (SIGKILL, out
# of memory, power) is counted by Node.count_publishers and named by get_publishers_info_by_topic for
# another 20 s, on the same machine as well: Fast DDS's default lease (20 s, announced every 3 s) is
# what forgets it. A node that is started in its place is "the second publisher" until then. A profile
# with leaseDuration and leaseAnnouncement shortens it, but only the killed process's own profile
# counts: that lease goes out with its announcements.
#
# Output seen:
#   rclpy 9.1.2
#   default profile: forgotten after 20.0 s
#   lease of 5 s in the publisher's profile alone: forgotten after 5.0 s
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet 'ros-rclpy[fastrtps]==9.1.2' \
    ros-std-msgs==5.5.1 ros-rmw-fastrtps-cpp==9.3.3 ros-fastdds==3.2.3
cat > "$work/lease.xml" <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com">
  <profiles>
    <participant profile_name="short_lease" is_default_profile="true">
      <rtps>
        <builtin>
          <discovery_config>
            <leaseDuration><sec>5</sec></leaseDuration>
            <leaseAnnouncement><sec>1</sec></leaseAnnouncement>
          </discovery_config>
        </builtin>
      </rtps>
    </participant>
  </profiles>
</dds>
XML
cat > "$work/talk.py" <<'PYTHON'
import time

import rclpy
from std_msgs.msg import String

rclpy.init(domain_id=74)
publisher = rclpy.create_node("talker").create_publisher(String, "talk", 10)
while True:
    publisher.publish(String(data="x"))
    time.sleep(0.1)
PYTHON
cat > "$work/run.py" <<'PYTHON'
import os
import subprocess
import sys
import time
from importlib.metadata import version

import rclpy

folder = os.path.dirname(os.path.abspath(__file__))
print("rclpy", version("ros-rclpy"), flush=True)
rclpy.init(domain_id=74)
node = rclpy.create_node("looker")


def wait(count, seconds):
    began = time.monotonic()
    while node.count_publishers("talk") != count and time.monotonic() < began + seconds:
        rclpy.spin_once(node, timeout_sec=0.05)
    return time.monotonic() - began


def forgotten_after(env):
    talker = subprocess.Popen([sys.executable, f"{folder}/talk.py"], env={**os.environ, **env})
    wait(1, 60.0)
    talker.kill()
    talker.wait()
    return wait(0, 60.0)


default = forgotten_after({})
print(f"default profile: forgotten after {default:.1f} s", flush=True)
short = forgotten_after({"FASTDDS_DEFAULT_PROFILES_FILE": f"{folder}/lease.xml"})
print(f"lease of 5 s in the publisher's profile alone: forgotten after {short:.1f} s", flush=True)
sys.stdout.flush()
os._exit(0 if 15.0 < default < 25.0 and 2.0 < short < 10.0 else 1)
PYTHON
ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST "$work/env/bin/python" "$work/run.py"
