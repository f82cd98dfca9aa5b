"""Hugging Face's datasets loads an exported LeRobot set as the hub shows it."""

import sys
from pathlib import Path

from datasets import load_dataset
from truth import close, read, works

folder, truth = read(sys.argv)
files = sorted(str(path) for path in Path(folder, "lerobot", "data").rglob("*.parquet"))
table = load_dataset(
    "parquet", data_files=files, split="train", cache_dir=str(Path(folder, "cache"))
)
actions = [row for rows in truth["actions"].values() for row in rows]
assert close([list(row)[:4] for row in table["action"]], actions)
works(f"{len(table)} rows, every action equal")
