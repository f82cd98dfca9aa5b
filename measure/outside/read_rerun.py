"""The rerun program of a newer version verifies what `vinn report --rerun` writes."""

import subprocess
import sys
from pathlib import Path

from truth import read, works

folder, _ = read(sys.argv)
rerun = Path(sys.executable).with_name("rerun")
done = subprocess.run(
    [rerun, "rrd", "verify", str(Path(folder, "rollout.rrd"))], capture_output=True, text=True
)
assert done.returncode == 0, done.stderr
works((done.stdout + done.stderr).strip().splitlines()[-1])
