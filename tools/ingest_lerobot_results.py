"""Does the lerobot package load our export, and do we load what it writes?

    python -m venv lerobot-venv && lerobot-venv/bin/pip install 'lerobot>=0.4,<0.5'
    python tools/ingest_lerobot_results.py --lerobot-python lerobot-venv/bin/python

Adds its rows to docs/results/ingest.*
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
from lerobot_check import blocks
from vinn.demos.store import Dataset, read_frame
from vinn.evaluation.results import Results
from vinn.ingest.formats.common import GripperOrder
from vinn.ingest.formats.lerobot_export import export_lerobot
from vinn.ingest.formats.lerobot_import import read_lerobot
from vinn.sim.recording import record_demonstrations


def call(python: Path, task: str, folder: Path) -> list[dict[str, Any]]:
    """Run `lerobot_check.py` in the other environment; its JSON lines."""
    script = Path(__file__).with_name("lerobot_check.py")
    done = subprocess.run(
        [str(python), str(script), task, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"lerobot could not {task} {folder}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def export_rows(results: Results, python: Path, dataset: Dataset, work: Path) -> None:
    """Every frame of an export, as lerobot's own loader returns it, against the original."""
    export_lerobot(dataset, work / "export")
    head, *items = call(python, "read", work / "export")
    equal, errors, row = 0, [], 0
    for number, demonstration in enumerate(dataset.demonstrations):
        for step, path in enumerate(demonstration.frame_paths):
            item, row = items[row], row + 1
            action = [*demonstration.camera_delta[step], float(demonstration.gripper[step])]
            equal += (
                np.allclose(item["action"], action, atol=1e-6)
                and item["episode"] == number
                and item["task"] == demonstration.meta.task
            )
            errors.append(np.abs(np.array(item["blocks"]) - blocks(read_frame(path))).max())
    package = f"lerobot {head['lerobot']}"
    share = 100 * equal / dataset.frame_count if len(items) == dataset.frame_count else 0.0
    results.add("LeRobot export: loaded by the package", package)
    results.add("LeRobot export: frames loaded", len(items), f"of {dataset.frame_count}")
    results.add("LeRobot export: frames with equal action, episode and task", share, "%", "== 100")
    results.add(
        "LeRobot export: largest error of an image's sixteenth",
        round(float(max(errors)), 2),
        "of 255",
        "<= 4",
    )


def import_rows(results: Results, python: Path, work: Path) -> None:
    """A dataset that lerobot wrote, imported."""
    written = call(python, "write", work / "theirs")
    found = list(read_lerobot(work / "theirs", None, GripperOrder.OPEN_LOW))
    expected = [[r["action"] for r in written if r["episode"] == e] for e in (0, 1)]
    equal = 0
    for demonstration, actions in zip(found, expected, strict=True):
        assert demonstration.camera_delta is not None
        same = np.isclose(demonstration.camera_delta, np.array(actions)[:, :3], atol=1e-6).all(1)
        for index, (image, good) in enumerate(zip(demonstration.frames_rgb, same, strict=True)):
            equal += bool(good and np.abs(image.astype(float) - (20 * index + 10)).max() < 8)
    results.add(
        "LeRobot import: equal frames of a dataset written by the package",
        equal,
        f"of {len(written)}",
        f"== {len(written)}",
    )


def main() -> None:
    """Export, load, write, import."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lerobot-python", type=Path, required=True, help="with lerobot installed")
    parser.add_argument("--dataset", type=Path, help="exported; default: four new recordings")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    results = Results.read(given.out / "ingest.json")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = given.dataset or work / "recorded"
        if given.dataset is None:
            record_demonstrations(root, ["oak", "walnut"], 2, "easy", 0)
        export_rows(results, given.lerobot_python, Dataset.open(root), work)
        import_rows(results, given.lerobot_python, work)
    results.write(given.out)
    for row in results.rows:
        if row.name.startswith("LeRobot"):
            print(row.name, row.value, row.unit)


if __name__ == "__main__":
    main()
