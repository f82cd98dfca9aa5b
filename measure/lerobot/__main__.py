"""Does the lerobot package load our export, and do we load what it writes?

    python3.12 -m venv lerobot-venv && lerobot-venv/bin/pip install 'lerobot[dataset]==0.6.1'
    python -m measure.lerobot --lerobot-python lerobot-venv/bin/python

(`lerobot>=0.4,<0.5` for Python 3.10 and 3.11.)

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
from vinn.demos.store import Dataset, read_frame
from vinn.evaluation.results import Results
from vinn.ingest.formats.common import GripperOrder, Imported
from vinn.ingest.formats.lerobot_export import export_lerobot
from vinn.ingest.formats.lerobot_import import read_lerobot
from vinn.sim.recording import record_demonstrations

from measure.lerobot.check import blocks


def call(python: Path, task: str, folder: Path) -> list[dict[str, Any]]:
    """Run `lerobot_check.py` in the other environment; its JSON lines."""
    script = Path(__file__).with_name("check.py")
    done = subprocess.run(
        [str(python), str(script), task, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"lerobot could not {task} {folder}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def export_rows(results: Results, python: Path, dataset: Dataset, work: Path) -> None:
    """Every frame of an export, as lerobot's own loader returns it, against the original."""
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
    """Datasets that lerobot wrote, imported: with a video, and with pictures in the tables."""
    for task, name in (("write", ""), ("images", ", pictures in its tables")):
        written = call(python, task, work / task)
        found = list(read_lerobot(work / task, None, GripperOrder.OPEN_LOW))
        equal = sum(
            equal_frames(demonstration, [r["action"] for r in written if r["episode"] == episode])
            for episode, demonstration in enumerate(found)
        )
        results.add(
            f"LeRobot import: equal frames of a dataset written by the package{name}",
            equal,
            f"of {len(written)}",
            f"== {len(written)}",
        )


def append_rows(results: Results, python: Path, dataset: Dataset, work: Path) -> None:
    """One more episode recorded by lerobot into the export; both loaded by it and by us."""
    written = call(python, "append", work / "export")
    total = dataset.frame_count + len(written)
    head, *items = call(python, "read", work / "export")
    loaded = len(items) if head["episodes"] == len(dataset.demonstrations) + 1 else 0
    results.add(
        "LeRobot export, one episode added by the package: frames that it loads",
        loaded,
        f"of {total}",
        f"== {total}",
    )
    *own, added = read_lerobot(work / "export", None, GripperOrder.OPEN_LOW)
    equal = equal_frames(added, [row["action"] for row in written])
    for demonstration, original in zip(own, dataset.demonstrations, strict=True):
        same = np.array_equal(demonstration.camera_delta, original.camera_delta)
        equal += len(list(demonstration.frames_rgb)) if same else 0
    results.add(
        "LeRobot export, one episode added by the package: equal frames back",
        equal,
        f"of {total}",
        f"== {total}",
    )


def equal_frames(demonstration: Imported, actions: list[list[float]]) -> int:
    """How many frames have their action, and the picture that `lerobot_check.py` gave it."""
    assert demonstration.camera_delta is not None
    same = np.isclose(demonstration.camera_delta, np.array(actions)[:, :3], atol=1e-6).all(1)
    return sum(
        bool(good and np.abs(image.astype(float) - (20 * index + 10)).max() < 8)
        for index, (image, good) in enumerate(zip(demonstration.frames_rgb, same, strict=True))
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
        dataset = Dataset.open(root)
        export_lerobot(dataset, work / "export")
        export_rows(results, given.lerobot_python, dataset, work)
        append_rows(results, given.lerobot_python, dataset, work)
        import_rows(results, given.lerobot_python, work)
    results.write(given.out)
    for row in results.rows:
        if row.name.startswith("LeRobot"):
            print(row.name, row.value, row.unit)


if __name__ == "__main__":
    main()
