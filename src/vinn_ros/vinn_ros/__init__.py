"""ROS 2 nodes, bring-up and operator command of VINN for Stretch: thin translations over `vinn`."""
