"""DuckDB asks all demonstrations at once."""

import sys
from pathlib import Path

import duckdb
from truth import close, read, works

folder, truth = read(sys.argv)
pattern = str(Path(folder, "demos", "*", "frames.parquet"))
query = "SELECT filename, dx, dy, dz, gripper FROM read_parquet(?, filename=true) ORDER BY 1, frame"
rows = duckdb.execute(query, [pattern]).fetchall()
for name, actions in truth["actions"].items():
    assert close([row[1:] for row in rows if Path(row[0]).parent.name == name], actions)
works(
    f"{len(rows)} rows of {len(truth['actions'])} demonstrations in one query, every action equal"
)
