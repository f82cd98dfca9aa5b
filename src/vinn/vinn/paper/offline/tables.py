"""The paper's offline comparison: table III, figure 4 and figure 6, in units that are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.evaluation.offline import offline_error
from vinn.paper.methods import EncoderKind, Method, PolicyForm, method_named
from vinn.paper.offline.config import TablesConfig
from vinn.paper.workspace import CLONING_METHODS, Workspace, clone
from vinn.policies.artefact import load_policy
from vinn.policies.artefacts.embedding import EmbeddedDataset
from vinn.policies.artefacts.selection import select_k_and_bandwidth
from vinn.policies.memory import ActionMemory
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.parametric import ParametricPolicy
from vinn.policies.vinn import PAPER_BANDWIDTH, VinnPolicy
from vinn.retrieval.flat import FlatNeighbors
from vinn.tasks.data import TaskData, first_demonstrations

K_CURVE_ENCODER = EncoderKind.BYOL

OnUnit = Callable[[int, int, str], None]
"""Called with (units done, units in all, what is next)."""


@dataclass(frozen=True)
class Unit:
    """A piece of work with one result.

    Attributes:
        data: the task.
        folder: of the workspace that keeps its result.
        name: of its result there.
        seed: of the method.
        encoder: what is trained or embedded for it; units with the same share that work.
        measure: does the work.
    """

    data: TaskData
    folder: Path
    name: str
    seed: int
    encoder: tuple[str, ...]
    measure: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Measurements:
    """Results of all units.

    Attributes:
        table: task and method to the test errors of its seeds (table III).
        details: task and method to the results of its seeds, with k, bandwidth and seconds.
        curves: task and method to number of demonstrations and the errors of its seeds (figure 4).
        k_curves: task to k and errors on training and test demonstrations (figure 6).
        demonstrations: task to (training, test) demonstrations and frames.
    """

    table: Mapping[str, Mapping[str, Sequence[float]]]
    details: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
    curves: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]
    k_curves: Mapping[str, Mapping[str, Sequence[float]]]
    demonstrations: Mapping[str, Mapping[str, int]]


def run_tables(
    config: TablesConfig,
    tasks: Sequence[TaskData],
    workspace: Workspace,
    on_unit: OnUnit | None = None,
    only_measured: bool = False,
) -> Measurements:
    """Measure everything that is not measured yet, cheap units first.

    Args:
        config: rows, seeds and budgets.
        tasks: what to measure on.
        workspace: where results are kept.
        on_unit: told before each unit.
        only_measured: measure nothing; what is missing is left out of the result.

    Raises:
        DatasetError, ArtefactError, ConfigError: of the parts; what is complete is kept.
    """
    units = all_units(config, tasks, workspace)
    results: dict[tuple[str, str], dict[str, Any]] = {}
    for done, unit in enumerate(units):
        found = workspace.measured_unit(unit.folder, unit.name)
        if found is None:
            if only_measured:
                continue
            if on_unit is not None:
                on_unit(done, len(units), f"{unit.data.name}: {unit.name}")
            found = workspace.unit(unit.folder, unit.name, unit.measure)
        results[unit.data.name, unit.name] = found
    if on_unit is not None:
        on_unit(len(units), len(units), "done")
    return _collect(config, tasks, results)


def all_units(config: TablesConfig, tasks: Sequence[TaskData], workspace: Workspace) -> list[Unit]:
    """All pieces of work in the order of `run_tables`, measured or not."""
    units = [unit for data in tasks for unit in _units(config, data, workspace)]
    # One seed of everything before the next seed, and all tasks' cheap rows before dear ones.
    units.sort(key=lambda unit: (unit.seed, unit_cost(unit.name)))
    return units


def seeds_of(config: TablesConfig, method: Method) -> range:
    """The seeds of a row: one where another seed would change nothing."""
    return range(config.seeds if method.seeded else 1)


def curve_counts(config: TablesConfig, data: TaskData) -> list[int]:
    """The numbers of demonstrations of figure 4 for a task, up to all there are."""
    return sorted({min(count, len(data.pool)) for count in config.curve_counts})


def _units(config: TablesConfig, data: TaskData, workspace: Workspace) -> Iterator[Unit]:
    for name in config.methods:
        method = method_named(name)
        for seed in seeds_of(config, method):
            measure = partial(measure_method, workspace, method, data, seed)
            folder = workspace.task_dir(data, method.encoder)
            encoder = _encoder_of(data, method.encoder, seed) or (data.name, name, str(seed))
            yield Unit(data, folder, f"{name}-{seed}", seed, encoder, measure)
    for name in config.curve_methods:
        method = method_named(name)
        folder = workspace.task_dir(data, method.encoder)
        for count in curve_counts(config, data):
            for seed in range(config.curve_seeds):
                measure = partial(_measure_curve, workspace, method, data, count, seed)
                unit = f"curve-{name}-{count}-{seed}"
                encoder = _encoder_of(data, method.encoder, 0) or (data.name, unit)
                yield Unit(data, folder, unit, seed, encoder, measure)
    if config.k_curve:
        measure = partial(_measure_k_curve, workspace, data, config.k_curve)
        encoder = _encoder_of(data, K_CURVE_ENCODER, 0)
        yield Unit(data, workspace.task_dir(data), "k-curve", 0, encoder, measure)


def _encoder_of(data: TaskData, kind: EncoderKind | None, seed: int) -> tuple[str, ...]:
    """Which encoder, and whose embeddings by it; empty: none."""
    if kind is None:
        return ()
    if kind is EncoderKind.JOINT:
        return (kind.value, str(seed))
    # One network for all tasks and seeds; the embeddings are of a task.
    trained = kind not in (EncoderKind.IMAGENET, EncoderKind.RAW_PIXELS)
    return (data.name, kind.value, str(seed)) if trained else (data.name, kind.value)


def unit_cost(unit: str) -> int:
    """Order of magnitude of a unit's work: controls, retrieval, cloning, self-supervision."""
    method = unit.split("-", 1)[0]
    return {"random": 0, "open": 0, "raw": 1, "imagenet": 1, "ibc": 2, "bc": 3}.get(method, 4)


def measure_method(
    workspace: Workspace, method: Method, data: TaskData, seed: int
) -> dict[str, Any]:
    """Train a method on a task's training demonstrations and test it on the held-out ones."""
    started = time.monotonic()
    folder = workspace.policy(method, data, seed)
    policy = load_policy(folder)
    embeddings = None
    if isinstance(policy, VinnPolicy | ParametricPolicy):
        embeddings = workspace.embeddings(folder / "encoder", data, "test").embeddings
    error = offline_error(policy, data.test, embeddings)
    result: dict[str, Any] = {
        "mse": error.mse,
        "gripper_accuracy": error.gripper_accuracy,
        "frames": error.frames,
        "seconds": round(time.monotonic() - started, 1),
    }
    if isinstance(policy, VinnPolicy):
        result |= {"k": policy.k, "bandwidth": policy.bandwidth}
    if workspace.collapsed(method.encoder, data, seed):
        result["collapsed"] = True
    return result


def _measure_curve(
    workspace: Workspace, method: Method, data: TaskData, count: int, seed: int
) -> dict[str, Any]:
    """Error with `count` demonstrations; the encoder is the one of all training demonstrations."""
    subset = first_demonstrations(data.pool, count, seed)
    memory = ActionMemory.of(subset)
    if method.form is PolicyForm.OPEN_LOOP:
        error = offline_error(OpenLoopPolicy(memory), data.test)
        return {"mse": error.mse}
    folder = workspace.task_dir(data) / "policies" / f"curve-{method.name}-{count}-{seed}"
    if method.encoder is None:
        config = workspace.cloning(method, None, seed)
        if not (folder / "result.json").exists():
            workspace.training.call(clone, subset, config, folder, None)
        policy = load_policy(folder / "policy")
        return {"mse": offline_error(policy, data.test).mse}
    encoder_dir = workspace.encoder(method.encoder, data, 0)
    pool = workspace.embeddings(encoder_dir, data, "pool")
    test = workspace.embeddings(encoder_dir, data, "test").embeddings
    chosen = {demonstration.meta.name for demonstration in subset.demonstrations}
    names = [d.meta.name for d in data.pool.demonstrations for _ in range(len(d))]
    embeddings = pool.embeddings[np.array([name in chosen for name in names])]
    if method.form in CLONING_METHODS:
        config = workspace.cloning(method, encoder_dir, seed)
        embedded = EmbeddedDataset(embeddings, subset.hash, read_manifest(encoder_dir).hash)
        if not (folder / "result.json").exists():
            workspace.training.call(clone, subset, config, folder, embedded)
        policy = load_policy(folder / "policy")
    else:
        k, bandwidth = min(10, len(memory)), PAPER_BANDWIDTH
        if count > 1:
            selection = workspace.selection(method, memory, embeddings)
            k, bandwidth = selection.k, selection.bandwidth
        policy = VinnPolicy(
            load_encoder(encoder_dir), FlatNeighbors(embeddings), memory, k, bandwidth
        )
    return {"mse": offline_error(policy, data.test, test).mse}


def _measure_k_curve(workspace: Workspace, data: TaskData, ks: Sequence[int]) -> dict[str, Any]:
    """Error of VINN against k: on training demonstrations left out one by one, and on test ones."""
    encoder_dir = workspace.encoder(K_CURVE_ENCODER, data, 0)
    train = workspace.embeddings(encoder_dir, data, "train").embeddings
    test = workspace.embeddings(encoder_dir, data, "test").embeddings
    memory = ActionMemory.of(data.train)
    usable = [k for k in ks if k <= len(memory) - int(np.bincount(memory.demonstration_ids).max())]
    selection = select_k_and_bandwidth(
        train, memory.camera_delta, memory.demonstration_ids, usable, [PAPER_BANDWIDTH]
    )
    by_k = {row.k: row.translation_mse for row in selection.rows}
    encoder = load_encoder(encoder_dir)
    neighbors = FlatNeighbors(train)
    tested = [
        offline_error(VinnPolicy(encoder, neighbors, memory, k), data.test, test).mse
        for k in usable
    ]
    return {"k": usable, "train_mse": [by_k[k] for k in usable], "test_mse": tested}


def _collect(
    config: TablesConfig,
    tasks: Sequence[TaskData],
    results: Mapping[tuple[str, str], dict[str, Any]],
) -> Measurements:
    def found(task: str, names: Iterable[str]) -> list[dict[str, Any]]:
        return [results[task, name] for name in names if (task, name) in results]

    details: dict[str, dict[str, list[dict[str, Any]]]] = {}
    curves: dict[str, dict[str, dict[int, list[float]]]] = {}
    for data in tasks:
        rows = {
            name: found(data.name, (f"{name}-{s}" for s in seeds_of(config, method_named(name))))
            for name in config.methods
        }
        details[data.name] = {name: each for name, each in rows.items() if each}
        curves[data.name] = {}
        for name in config.curve_methods:
            points = {
                count: found(
                    data.name, (f"curve-{name}-{count}-{s}" for s in range(config.curve_seeds))
                )
                for count in curve_counts(config, data)
            }
            errors = {count: [row["mse"] for row in each] for count, each in points.items() if each}
            if errors:
                curves[data.name][name] = errors
    return Measurements(
        table={
            task: {name: [row["mse"] for row in rows] for name, rows in methods.items()}
            for task, methods in details.items()
        },
        details=details,
        curves=curves,
        k_curves={
            data.name: results[data.name, "k-curve"]
            for data in tasks
            if (data.name, "k-curve") in results
        },
        demonstrations={
            data.name: {
                "train": len(data.train),
                "train_frames": data.train.frame_count,
                "test": len(data.test),
                "test_frames": data.test.frame_count,
            }
            for data in tasks
        },
    )


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for the latter of a single value."""
    array: NDArray[np.float64] = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None
