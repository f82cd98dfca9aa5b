"""The public copy of the data (door-opening-data, CC BY 4.0): absolute poses per image.

    RUN/labels.json = {image: {"xyz": [x, y, z], "rpy": [roll, pitch, yaw], "gripper": g}}

A frame too close to the last one used (position, rotation and gripper alike) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    pose_deltas,
    safe_name,
    states_from_aperture,
)
from vinn.reading.documents import read_json

MIN_MOVE_M, MIN_TURN_RAD, MIN_GRIPPER = 0.01, 0.008, 0.05


def read_door_opening(root: Path, task: str, gripper_order: GripperOrder) -> Iterator[Imported]:
    """Every run below `root`, translations in metres.

    Args:
        root: folder with runs.
        task: what they demonstrate.
        gripper_order: of the gripper's values, 0..1.

    Raises:
        DatasetError: no runs, or a malformed one.
    """
    runs = sorted(root.glob("**/labels.json"))
    if not runs:
        raise DatasetError(f"{root}: no run with a labels.json below this folder")
    for path in runs:
        yield _run(path, root, task, gripper_order)


def _run(path: Path, root: Path, task: str, order: GripperOrder) -> Imported:
    labels = read_json(path, DatasetError)
    if not isinstance(labels, dict) or len(labels) < 2:
        raise DatasetError(f"{path}: expected a mapping from at least 2 images to poses")
    names = sorted(labels, key=natural_key)
    if not all(isinstance(labels[name], dict) for name in names):
        raise DatasetError(f"{path}: expected xyz, rpy and gripper for each image")
    count = len(names)
    xyz, rpy, gripper = (
        numbers([labels[n].get(key) for n in names], shape, f"{path}: {key}")
        for key, shape in (("xyz", (count, 3)), ("rpy", (count, 3)), ("gripper", (count,)))
    )
    used = moved_frames(xyz, rpy, gripper)
    if len(used) < 2:
        raise DatasetError(f"{path}: nothing moves in these {count} poses")
    folder = next(
        (f for f in (path.parent / "images", path.parent) if (f / names[0]).exists()), path.parent
    )
    files = [inside(folder, names[i], str(path)) for i in used[:-1]]
    states = states_from_aperture(gripper[used], order)
    meta = frame_meta(
        "-".join(path.parent.relative_to(root).parts) or safe_name(path.parent.name),
        task,
        _image(files[0]),
        "door-opening-data",
        ActionScale.METRIC,
        {"tool": "vinn demos import", "format": "door-opening-data", "frames": used.tolist()},
    )
    deltas = pose_deltas(xyz[used], rotations(rpy[used]))
    # The state of a step is the one it leads to.
    return Imported(meta, (_image(file) for file in files), deltas, states[1:])


def moved_frames(
    xyz: NDArray[np.float64], rpy: NDArray[np.float64], gripper: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Rows that differ enough from the last row used; the first is always used."""
    used = [0]
    for i in range(1, len(xyz)):
        last = used[-1]
        turn = np.abs(np.mod(rpy[i] - rpy[last] + np.pi, 2 * np.pi) - np.pi)
        if (
            np.linalg.norm(xyz[i] - xyz[last]) >= MIN_MOVE_M
            or np.linalg.norm(turn) >= MIN_TURN_RAD
            or abs(gripper[i] - gripper[last]) >= MIN_GRIPPER
        ):
            used.append(i)
    return np.array(used)


def rotations(rpy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3) from roll, pitch, yaw about the fixed axes x, y, z [rad] (REP 103)."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy).T, np.cos(rpy).T
    return np.stack(
        [
            np.stack([cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr], -1),
            np.stack([sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr], -1),
            np.stack([-sp, cp * sr, cp * cr], -1),
        ],
        axis=1,
    )


def _image(path: Path) -> NDArray[np.uint8]:
    try:
        return read_image(path)
    except ImageError as cause:
        raise DatasetError(str(cause)) from cause
