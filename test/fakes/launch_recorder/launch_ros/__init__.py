"""Stand-in for ROS 2's `launch_ros`: what this project's launch files use, recorded."""
