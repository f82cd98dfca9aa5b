"""The executor's node: steps, through the motion filter, to the robot."""
