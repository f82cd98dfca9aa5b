#!/bin/sh
# PyAV 18.1.0 (its wheel brings SVT-AV1): opening a libsvtav1 encoder as root leaves the thread that opened
# it with the real-time policy SCHED_FIFO at priority 99, for good: closing the encoder does not give it
# back, and every thread and process started from there on inherits it. LeRobot writes its videos with this
# encoder by default; in a container, where one is root, the rest of the program then starves what it waits
# for (ROS nodes, a camera, other processes on few cores).
#
# As another user nothing changes, because the request is refused in silence.
#
# Output seen (as root):
#   av 18.1.0
#   before: policy 0, priority 0
#   after libx264: policy 0, priority 0
#   after libsvtav1: policy 1, priority 99
#   a child: policy 1
set -eu
if [ "$(id -u)" != 0 ]; then
    echo "run as root, as in a container: another user may not have this priority" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet av==18.1.0 numpy==2.2.6
cat > "$work/run.py" <<'PYTHON'
import os
import subprocess
import sys

import av
import numpy as np


def encode(path, codec):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            grey = np.full((64, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


def policy():
    return os.sched_getscheduler(0)


def seen():
    return f"policy {policy()}, priority {os.sched_getparam(0).sched_priority}"


print("av", av.__version__)
print("before:", seen())
encode(os.path.join(sys.argv[1], "x264.mp4"), "libx264")
print("after libx264:", seen())
plain = policy()
encode(os.path.join(sys.argv[1], "av1.mp4"), "libsvtav1")
print("after libsvtav1:", seen(), flush=True)
ask = "import os; print('a child: policy', os.sched_getscheduler(0))"
subprocess.run([sys.executable, "-c", ask], check=True)
if (plain, policy()) != (os.SCHED_OTHER, os.SCHED_FIFO):
    sys.exit("the behaviour has changed")
PYTHON
"$work/env/bin/python" "$work/run.py" "$work" 2>/dev/null
