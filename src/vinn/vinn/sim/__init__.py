"""MuJoCo Stretch, cabinets, the scripted expert, and the recording of its demonstrations."""

import os

# Read by mujoco when it is first imported; rendering must not need a display.
os.environ.setdefault("MUJOCO_GL", "egl")
