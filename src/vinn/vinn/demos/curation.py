"""Datasets made of others: merged, without some demonstrations, trimmed, at a lower rate.

What is read stays as it is; the result is a new folder, whole or not at all. Whatever would be lost
without having been named is refused.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_directory
from vinn.demos.hindsight import missing_after
from vinn.demos.layout import write_demonstration
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale, Demonstration, GripperState, new_meta
from vinn.errors import DatasetError
from vinn.reading.regular import read_bytes

PER_FRAME = ("steps", "task_of_frame")
"""Lists in `provenance` with an entry for each frame."""
CURATED = "curated"
"""Key of `provenance`: what was done to a demonstration, in order."""
LOWEST_RATE = 1000


@dataclass(frozen=True)
class Curated:
    """What a new dataset holds.

    Attributes:
        demonstrations: in it.
        frames: in it.
        lost: frames that were read and are not in it.
    """

    demonstrations: int
    frames: int
    lost: int


def merge(datasets: Sequence[Dataset], out: Path, prefixed: bool = False) -> Curated:
    """All demonstrations of several datasets in one.

    Args:
        datasets: at least two.
        out: new folder.
        prefixed: call each FOLDER-NAME, after the folder it came from.

    Raises:
        DatasetError: two have the same name, or the same frames; their action scales differ; `out`
            exists.
    """
    if len(datasets) < 2:
        raise DatasetError(f"merge: {len(datasets)} datasets; allowed: 2 or more")
    names: dict[str, Path] = {}
    shown: dict[tuple[str, ...], Path] = {}
    acting: Dataset | None = None
    for dataset in datasets:
        if any(demonstration.meta.has_actions for demonstration in dataset.demonstrations):
            if acting is not None and dataset.action_scale is not acting.action_scale:
                raise DatasetError(
                    f"{dataset.root}: actions are {dataset.action_scale.value}, those of "
                    f"{acting.root} {acting.action_scale.value}; one dataset has one scale"
                )
            acting = dataset
        for demonstration, hashes in zip(dataset.demonstrations, dataset.frame_hashes, strict=True):
            name, place = _merged_name(dataset, demonstration, prefixed), _place(demonstration)
            if name in names:
                raise DatasetError(
                    f"{place}: {names[name]} has the same name; give each folder's name with it "
                    "(--prefix)"
                )
            if hashes in shown:
                raise DatasetError(f"{place}: has the frames of {shown[hashes]}; remove one")
            names[name] = shown[hashes] = place
    with atomic_directory(out, DatasetError) as folder:
        for dataset in datasets:
            for demonstration in dataset.demonstrations:
                if prefixed:
                    name = _merged_name(dataset, demonstration, prefixed)
                    note = {"merged": demonstration.meta.name}
                    _write(folder, demonstration, range(len(demonstration)), note, name=name)
                else:
                    _copy(demonstration, folder)
    frames = sum(dataset.frame_count for dataset in datasets)
    return Curated(len(names), frames, 0)


def delete(dataset: Dataset, names: Sequence[str], out: Path) -> Curated:
    """The dataset without some demonstrations.

    Raises:
        DatasetError: there is none of a name, none would be left, or `out` exists.
    """
    gone = {demonstration.meta.name for demonstration in dataset.only(*names).demonstrations}
    kept = [each for each in dataset.demonstrations if each.meta.name not in gone]
    if not kept:
        raise DatasetError(f"{dataset.root}: all {len(dataset)} demonstrations would be deleted")
    with atomic_directory(out, DatasetError) as folder:
        for demonstration in kept:
            _copy(demonstration, folder)
    return _counted(dataset, len(kept), sum(map(len, kept)))


def trim(
    dataset: Dataset, name: str, first: int, last: int, out: Path, force: bool = False
) -> Curated:
    """The dataset with one demonstration from frame `first` to `last` alone, both included.

    Raises:
        DatasetError: no such demonstration or frames, or the gripper opens or closes in what would
            be cut off and `force` is not given, or `out` exists.
    """
    (chosen,) = dataset.only(name).demonstrations
    if not 0 <= first <= last < len(chosen):
        raise DatasetError(
            f"{_place(chosen)}: frames {first} to {last}; allowed: within 0 to {len(chosen) - 1}"
        )
    lost = [f for f in _changes(chosen) if not first <= f <= last]
    if lost and not force:
        what = "closes" if _closed(chosen)[lost[0]] else "opens"
        raise DatasetError(
            f"{_place(chosen)}: the gripper {what} at frame {lost[0]}, which would be cut off "
            "(--force)"
        )
    return _trimmed(dataset, {name: range(first, last + 1)}, out)


def trim_still(dataset: Dataset, out: Path) -> Curated:
    """The dataset without frames at both ends in which nothing moves and the gripper stays.

    Raises:
        DatasetError: a demonstration never moves, or `out` exists.
    """
    kept = {}
    for demonstration in dataset.demonstrations:
        if not demonstration.meta.has_actions:
            continue
        moves = demonstration.camera_delta.any(axis=1)
        changes = np.diff(demonstration.gripper, prepend=GripperState.OPEN) != 0
        acting = np.flatnonzero(moves | changes)
        if not len(acting):
            raise DatasetError(f"{_place(demonstration)}: nothing moves in it; delete it")
        kept[demonstration.meta.name] = range(int(acting[0]), int(acting[-1]) + 1)
    return _trimmed(dataset, kept, out)


def change_rate(dataset: Dataset, every: int, out: Path) -> Curated:
    """The dataset with each `every` steps made one: their translations added up.

    A step in which the gripper's state changes stays one, and steps with others missing between
    them are not joined, so that no change of the gripper is lost and no gap is bridged. The
    camera's axes must keep their direction, as those of a hand that does not turn do. Unit vectors
    are added up and brought to length 1 again.

    Args:
        dataset: to be read.
        every: steps that become one, 2 or more.
        out: new folder.

    Raises:
        DatasetError: `every` is out of range, or `out` exists.
    """
    if not 2 <= every <= LOWEST_RATE:
        raise DatasetError(f"change-rate: every {every}; allowed: 2 to {LOWEST_RATE}")
    count = 0
    with atomic_directory(out, DatasetError) as folder:
        for demonstration in dataset.demonstrations:
            begins = _runs(demonstration, every)
            count += len(begins)
            ends = [*begins[1:], len(demonstration)]
            whole_runs = itertools.pairwise(begins)  # the last one may be shorter
            even = all(end - begin == every for begin, end in whole_runs)
            delta, gripper = _added_up(demonstration, begins), demonstration.gripper
            slower = replace(
                demonstration,
                camera_delta=_spread(delta, begins, len(demonstration)),
                # What a run leads to is what its last step leads to.
                gripper=_spread(gripper[np.array(ends) - 1], begins, len(demonstration)),
            )
            rate = demonstration.meta.frame_rate_hz
            rate = rate / every if rate is not None and even else None
            note = {"every": every, "frames": len(demonstration)}
            steps = _renumbered(demonstration, begins)
            _write(folder, slower, begins, note, steps=steps, frame_rate_hz=rate)
    return _counted(dataset, len(dataset), count)


def _runs(demonstration: Demonstration, every: int) -> list[int]:
    """The first frames of the runs that become one step each."""
    gaps = missing_after(demonstration.meta)
    changes = np.diff(demonstration.gripper, prepend=GripperState.OPEN) != 0
    tasks = demonstration.meta.provenance.get("task_of_frame")
    begins = [0]
    for frame in range(1, len(demonstration)):
        # A step that changes the gripper stands alone: it may not move the hand as well.
        alone = changes[frame] or changes[frame - 1]
        other_task = isinstance(tasks, list) and tasks[frame] != tasks[frame - 1]
        if frame - begins[-1] == every or alone or frame - 1 in gaps or other_task:
            begins.append(frame)
    return begins


def _added_up(demonstration: Demonstration, begins: Sequence[int]) -> NDArray[np.float32]:
    total = np.add.reduceat(demonstration.camera_delta.astype(np.float64), begins, axis=0)
    if demonstration.meta.action_scale is ActionScale.UNIT:
        length = np.linalg.norm(total, axis=1, keepdims=True)
        total = np.where(length > 1e-6, total / np.maximum(length, 1e-6), 0.0)
    return total.astype(np.float32)


def _spread(values: NDArray[Any], rows: Sequence[int], count: int) -> NDArray[Any]:
    """An array of `count` rows with `values` at some of them."""
    whole = np.zeros((count, *values.shape[1:]), values.dtype)
    whole[list(rows)] = values
    return whole


def _renumbered(demonstration: Demonstration, begins: Sequence[int]) -> list[int] | None:
    """Numbers of steps with a gap where one was: what became one step is no gap."""
    if "steps" not in demonstration.meta.provenance:
        return None
    gaps = missing_after(demonstration.meta)
    numbers = [0]
    for begin in begins[1:]:
        numbers.append(numbers[-1] + (2 if begin - 1 in gaps else 1))
    return numbers


def _trimmed(dataset: Dataset, kept: dict[str, range], out: Path) -> Curated:
    count = 0
    with atomic_directory(out, DatasetError) as folder:
        for demonstration in dataset.demonstrations:
            whole = range(len(demonstration))
            rows = kept.get(demonstration.meta.name, whole)
            count += len(rows)
            if rows == whole:
                _copy(demonstration, folder)
            else:
                _write(folder, demonstration, rows, {"trimmed": [rows.start, rows.stop - 1]})
    return _counted(dataset, len(dataset), count)


def _write(
    folder: Path,
    demonstration: Demonstration,
    rows: Sequence[int],
    note: dict[str, Any],
    name: str | None = None,
    steps: list[int] | None = None,
    **changes: Any,
) -> None:
    """Some frames of a demonstration, their files as they are, and a note of what was done."""
    meta, chosen = demonstration.meta, list(rows)
    provenance = dict(meta.provenance)
    for key in PER_FRAME:
        entries = provenance.get(key)
        if isinstance(entries, list) and len(entries) == len(demonstration):
            provenance[key] = [entries[row] for row in chosen]
    if steps is not None:
        provenance["steps"] = steps
        provenance.pop("dropped", None)
    before = provenance.get(CURATED)
    provenance[CURATED] = [*(before if isinstance(before, list) else []), note]
    fields = {**dict(meta), **changes, "name": name or meta.name, "provenance": provenance}
    acts = meta.has_actions
    write_demonstration(
        folder,
        new_meta(**fields),
        (read_bytes(demonstration.frame_paths[row], DatasetError) for row in chosen),
        demonstration.camera_delta[chosen] if acts else None,
        demonstration.gripper[chosen] if acts else None,
    )


def _copy(demonstration: Demonstration, folder: Path) -> None:
    """A demonstration as it is, by hard links where the disk has them."""
    source = _place(demonstration)
    shutil.copytree(source, folder / source.name, copy_function=link_or_copy)


def link_or_copy(source: str, target: str) -> None:
    """A hard link, or a copy where there can be none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _counted(dataset: Dataset, demonstrations: int, frames: int) -> Curated:
    return Curated(demonstrations, frames, dataset.frame_count - frames)


def _merged_name(dataset: Dataset, demonstration: Demonstration, prefixed: bool) -> str:
    name = demonstration.meta.name
    return f"{dataset.root.resolve().name}-{name}" if prefixed else name


def _place(demonstration: Demonstration) -> Path:
    return demonstration.frame_paths[0].parents[1]


def _closed(demonstration: Demonstration) -> NDArray[np.bool_]:
    return np.asarray(demonstration.gripper >= GripperState.ALMOST_CLOSED)


def _changes(demonstration: Demonstration) -> list[int]:
    """Frames whose step closes or opens the gripper."""
    return [int(f) for f in np.flatnonzero(np.diff(_closed(demonstration), prepend=False))]
