"""Where the gripper will close: found in the picture, followed on the way, used by retrieval."""
