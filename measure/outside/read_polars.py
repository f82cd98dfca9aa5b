"""Polars reads the frames, and what a policy artefact keeps of them."""

import sys
from pathlib import Path

import polars
from truth import close, read, works

folder, truth = read(sys.argv)
for name, actions in truth["actions"].items():
    frames = polars.read_parquet(Path(folder, "demos", name, "frames.parquet"))
    assert close([list(row) for row in frames.select("dx", "dy", "dz", "gripper").rows()], actions)
kept = polars.read_parquet(Path(folder, "policy", "frames.parquet"))
assert len(kept) == truth["frames"]
works(f"every action equal; {len(kept)} rows of a policy artefact")
