"""The layouts of the original VINN release (see docs/ingest.md).

handle:      RUN/labels.json = {frame: [tx, ty, tz, rx, ry, rz, gripper]}, RUN/images_linear/
push, stack: RUN/labels.json = {frame: [[x, y, z], ...]},                  RUN/images/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vinn.demos.frames import read_image
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError, ImageError
from vinn.ingest.formats.common import (
    GripperOrder,
    Imported,
    frame_meta,
    inside,
    natural_key,
    numbers,
    safe_name,
    states_from_order,
    unit_or_zero,
)
from vinn.reading.documents import read_json


def read_original(root: Path, task: str, gripper_order: GripperOrder | None) -> Iterator[Imported]:
    """Every run below `root` (a split such as `train_all`), translations as unit vectors.

    Args:
        root: folder with runs.
        task: what they demonstrate.
        gripper_order: of the handle layout's classes.

    Raises:
        DatasetError: no runs, a malformed one, or a handle layout without `gripper_order`.
    """
    runs = sorted(root.glob("**/labels.json"))
    if not runs:
        raise DatasetError(f"{root}: no run with a labels.json below this folder")
    for path in runs:
        yield _run(path, root, task, gripper_order)


def _run(path: Path, root: Path, task: str, order: GripperOrder | None) -> Imported:
    labels = read_json(path, DatasetError)
    if not isinstance(labels, dict) or not labels:
        raise DatasetError(f"{path}: expected a mapping from frames to labels")
    folder = path.parent / "images_linear"
    if not folder.is_dir():
        folder = path.parent / "images"
    names = sorted(labels, key=natural_key)
    files = [inside(folder, name, str(path)) for name in names]
    first = labels[names[0]]
    nested = isinstance(first, list) and len(first) > 0 and isinstance(first[0], list)
    if nested:
        firsts = [v[0] if isinstance(v, list) and v else v for v in (labels[n] for n in names)]
        delta = numbers(firsts, (len(names), 3), str(path))
        gripper = np.zeros(len(names), np.int64)
    else:
        rows = numbers([labels[name] for name in names], (len(names), 7), str(path))
        delta = rows[:, :3]
        if order is None:
            raise DatasetError(
                f"{path}: labels have gripper classes; say their order with --gripper-order "
                "(open-low: 0 is open, open-high: 3 is open)"
            )
        gripper = states_from_order(rows[:, 6], order, str(path))
    meta = frame_meta(
        "-".join(path.parent.relative_to(root).parts) or safe_name(path.parent.name),
        task,
        _image(files[0]),
        "original",
        ActionScale.UNIT,
        {"tool": "vinn demos import", "format": "vinn-original"},
    )
    return Imported(meta, (_image(file) for file in files), unit_or_zero(delta), gripper)


def _image(path: Path) -> np.ndarray:
    try:
        return read_image(path)
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
