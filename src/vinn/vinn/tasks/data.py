"""A recorded task, or any user's demonstrations, as the parts an evaluation needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale, Demonstration
from vinn.errors import DatasetError
from vinn.robot.config import RobotConfig
from vinn.tasks.registry import TASKS


@dataclass(frozen=True)
class TaskData:
    """Demonstrations to learn from and others to be tested on; none is in both.

    Attributes:
        name: for tables and folders.
        train: demonstrations with actions.
        test: held-out demonstrations with actions.
        pool: `train` and further ones, for learning curves.
        robot: how the camera sits on the hand that was shown.
        mirrored: whether left and right may change places in what it sees.
    """

    name: str
    train: Dataset
    test: Dataset
    pool: Dataset
    robot: RobotConfig = field(default_factory=RobotConfig)
    mirrored: bool = True


def open_task(root: Path, name: str, scale: ActionScale = ActionScale.UNIT) -> TaskData:
    """Open `root/NAME` as written by `record_task`.

    Args:
        root: folder of recorded tasks.
        name: of the task.
        scale: of the actions: of length 1, or METRIC: as they were recorded.

    Raises:
        DatasetError: missing or malformed.
    """
    folder = Path(root) / name
    train = Dataset.open(folder / "train").with_actions()
    pool = train
    if (folder / "pool").is_dir():
        pool = _joined(train, Dataset.open(folder / "pool").with_actions())
    test = Dataset.open(folder / "test").with_actions()
    data, task = _task_data(name, train, test, pool, scale), TASKS.get(name)
    return data if task is None else replace(data, robot=task.robot, mirrored=task.mirrored)


def task_of_datasets(name: str, train: Dataset, test: Dataset) -> TaskData:
    """A task out of any two datasets, with actions of length 1.

    Raises:
        DatasetError: a demonstration is in both, or one of them has no actions.
    """
    train, test = train.with_actions(), test.with_actions()
    return _task_data(name, train, test, train)


def unit_actions(dataset: Dataset) -> Dataset:
    """The same demonstrations with translations of length 1; zero translations stay zero.

    The paper normalises "to account for scale ambiguity from SfM" (section IV-A).
    """
    if dataset.action_scale is ActionScale.UNIT:
        return dataset
    return replace(
        dataset,
        demonstrations=tuple(
            replace(
                demonstration,
                meta=demonstration.meta.model_copy(update={"action_scale": ActionScale.UNIT}),
                camera_delta=_unit(demonstration.camera_delta),
            )
            for demonstration in dataset.demonstrations
        ),
    )


def first_demonstrations(dataset: Dataset, count: int, seed: int) -> Dataset:
    """`count` demonstrations, drawn with a seed; larger counts of a seed contain smaller ones.

    Raises:
        DatasetError: there are not that many.
    """
    if not 1 <= count <= len(dataset):
        raise DatasetError(
            f"{dataset.root}: {count} demonstrations of {len(dataset)}; allowed: 1..{len(dataset)}"
        )
    chosen = sorted(np.random.default_rng(seed).permutation(len(dataset))[:count].tolist())
    return replace(
        dataset,
        demonstrations=tuple(dataset.demonstrations[i] for i in chosen),
        frame_hashes=tuple(dataset.frame_hashes[i] for i in chosen),
    )


def _task_data(
    name: str,
    train: Dataset,
    test: Dataset,
    pool: Dataset,
    scale: ActionScale = ActionScale.UNIT,
) -> TaskData:
    known = {hashes: d.meta.name for d, hashes in _with_hashes(pool)}
    for demonstration, hashes in _with_hashes(test):
        if hashes in known:
            raise DatasetError(
                f"{test.root}: {demonstration.meta.name} has the frames of {known[hashes]} of "
                f"{pool.root}; training and test demonstrations must differ"
            )
    if scale is ActionScale.METRIC:
        return TaskData(name, train, test, pool)
    return TaskData(name, unit_actions(train), unit_actions(test), unit_actions(pool))


def _with_hashes(dataset: Dataset) -> Iterator[tuple[Demonstration, tuple[str, ...]]]:
    return zip(dataset.demonstrations, dataset.frame_hashes, strict=True)


def _joined(first: Dataset, second: Dataset) -> Dataset:
    return replace(
        first,
        root=first.root.parent,
        demonstrations=first.demonstrations + second.demonstrations,
        frame_hashes=first.frame_hashes + second.frame_hashes,
    )


def _unit(camera_delta: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(camera_delta, axis=1, keepdims=True)
    unit: np.ndarray = np.where(lengths > 0, camera_delta / np.where(lengths > 0, lengths, 1), 0)
    return unit.astype(np.float32)
