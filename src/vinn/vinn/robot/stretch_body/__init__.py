"""Stretch without ROS: straight through Hello Robot's `stretch_body`."""
