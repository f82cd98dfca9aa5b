#!/bin/bash
# Source ROS 2 and the workspace, then become the command.
set -e
source /opt/ros/humble/setup.bash
source /opt/vinn/local_setup.bash
exec "$@"
