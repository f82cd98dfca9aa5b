"""Policies: an image in, a translation and a gripper state out (`types.Policy`)."""
