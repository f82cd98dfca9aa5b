"""Robots behind ROS 2 interfaces, as `vinn.robot.types.RobotDriver`."""
