"""The robot side: kinematics, limits, gripper, motion filter, step executor, driver protocol."""
