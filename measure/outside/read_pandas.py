"""pandas reads the frames of every demonstration."""

import sys
from pathlib import Path

import pandas
from truth import close, read, works

folder, truth = read(sys.argv)
rows = 0
for name, actions in truth["actions"].items():
    frames = pandas.read_parquet(Path(folder, "demos", name, "frames.parquet"))
    assert close(frames[["dx", "dy", "dz", "gripper"]].to_numpy().tolist(), actions)
    rows += len(frames)
works(f"{rows} rows, every action equal")
