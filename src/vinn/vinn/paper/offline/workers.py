"""The offline tables by many workers: what shares an encoder is a piece of work.

Two workers may not train the same encoder, so the units that need it are done by one. Workers are
processes of Ray, which is imported only here; they use demonstrations and workspace by the same
paths. Results, files and resumption are those of a single process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from vinn.errors import ConfigError
from vinn.paper.methods import EncoderKind, method_named
from vinn.paper.offline.config import TablesConfig
from vinn.paper.offline.tables import Measurements, OnUnit, Unit, all_units, run_tables, unit_cost
from vinn.paper.workspace import Workspace
from vinn.policies.artefacts.ray_session import by_workers
from vinn.tasks.data import TaskData

_OF_ALL_TASKS = (EncoderKind.IMAGENET, EncoderKind.RAW_PIXELS)

Names = tuple[tuple[str, str], ...]
"""Units, by task and name."""


def run_tables_by_workers(
    config: TablesConfig,
    tasks: Sequence[TaskData],
    workspace: Workspace,
    workers: int,
    ray_address: str | None = None,
    on_unit: OnUnit | None = None,
    gpus: float = 0.0,
) -> Measurements:
    """As `run_tables`, by workers; `on_unit` is told after each piece.

    Args:
        config: rows, seeds and budgets.
        tasks: what to measure on.
        workspace: where results are kept; seen by all workers under the same path.
        workers: pieces in work at a time.
        ray_address: of a running cluster, e.g. "auto"; None: workers on this machine.
        on_unit: told of progress.
        gpus: that a worker has; 0: it trains on its processor.

    Raises:
        ConfigError: bad `workers` or `gpus`.
        ModuleNotFoundError: Ray is not installed.
        VinnError: what a worker raised; what is complete is kept.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers}; allowed: 1 or more")
    if not 0.0 <= gpus < math.inf:
        raise ConfigError(f"GPUs of a worker: {gpus}; allowed: 0 or more")
    units = all_units(config, tasks, workspace)
    missing = [u for u in units if workspace.measured_unit(u.folder, u.name) is None]
    found = pieces(missing)
    done = len(units) - len(missing)

    def tell(what: str) -> None:
        if on_unit is not None:
            on_unit(done, len(units), what)

    kinds = {method_named(name).encoder for name in (*config.methods, *config.curve_methods)}
    for kind in _OF_ALL_TASKS:
        if missing and kind in kinds:
            tell(kind.value)
            workspace.encoder(kind, tasks[0], 0)
    tell(f"{len(found)} pieces")
    root = workspace.root.resolve()
    todo = [(config, tuple(tasks), root, names) for names in found]
    for measured in by_workers(_measure, todo, workers, ray_address, gpus):
        done += measured
        tell("by workers")
    return run_tables(config, tasks, workspace, on_unit, only_measured=True)


def pieces(units: Sequence[Unit]) -> list[Names]:
    """Units in pieces that share nothing that is trained, the dearest first."""
    sharing: dict[tuple[str, ...], list[Unit]] = {}
    for unit in units:
        sharing.setdefault(unit.encoder, []).append(unit)
    dearest = sorted(
        sharing.values(),
        key=lambda some: (max(unit_cost(unit.name) for unit in some), len(some)),
        reverse=True,
    )
    return [tuple((unit.data.name, unit.name) for unit in some) for some in dearest]


def _measure(config: TablesConfig, tasks: Sequence[TaskData], root: Path, names: Names) -> int:
    """The units of one piece, in a worker; returns how many."""
    workspace = Workspace(root, config, tasks)
    try:
        for unit in all_units(config, tasks, workspace):
            if (unit.data.name, unit.name) in names:
                workspace.unit(unit.folder, unit.name, unit.measure)
    finally:
        workspace.close()
    return len(names)
