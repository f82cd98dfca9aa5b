"""colcon finds the packages of this repository with their kinds and the order to build them in."""

import subprocess
import sys
from pathlib import Path

from truth import works

root = Path(__file__).parents[2]
colcon = Path(sys.executable).with_name("colcon")
done = subprocess.run(
    [colcon, "list", "--topological-order", "--base-paths", str(root / "src")],
    capture_output=True,
    text=True,
    check=True,
)
found = [line.split("\t") for line in done.stdout.splitlines()]
kinds = {name: kind for name, _, kind in found}
assert kinds == {"vinn": "(ros.ament_python)", "vinn_msgs": "(ros.ament_cmake)",
                 "vinn_ros": "(ros.ament_python)"}, kinds  # fmt: skip
names = [name for name, _, _ in found]
assert names.index("vinn_ros") == 2, names
works(", ".join(f"{name} {kind}" for name, kind in kinds.items()) + ", vinn_ros last")
