"""The closed-loop trials by many workers: one method in one condition is a piece of work.

A piece is `run_closed_loop` with settings that name nothing else, so its trials, files and
resumption are those of a single process. Policies are trained before, by the process that asks:
two workers may not train the same encoder. Workers are processes of Ray, which is imported only
here; they use demonstrations and workspace by the same paths.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vinn.errors import ConfigError
from vinn.paper.closed_loop.config import ClosedLoopConfig
from vinn.paper.closed_loop.run import (
    OnTrial,
    cells,
    count_trials,
    run_closed_loop,
    without_cabinet,
)
from vinn.paper.methods import method_named
from vinn.paper.offline.config import TablesConfig
from vinn.paper.workspace import Workspace
from vinn.policies.artefacts.ray_session import by_workers
from vinn.tasks.data import TaskData


def run_closed_loop_by_workers(
    config: ClosedLoopConfig,
    data: TaskData,
    workspace: Workspace,
    workers: int,
    ray_address: str | None = None,
    on_trial: OnTrial | None = None,
) -> None:
    """As `run_closed_loop`, by workers; `on_trial` is told after each piece.

    Args:
        config: what to measure.
        data: the task `door`.
        workspace: trains and finds the policies.
        workers: pieces in work at a time.
        ray_address: of a running cluster, e.g. "auto"; None: workers on this machine.
        on_trial: told of progress.

    Raises:
        ConfigError: bad `workers`.
        ModuleNotFoundError: Ray is not installed.
        VinnError: what a worker raised; what is complete is kept.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers}; allowed: 1 or more")

    def tell(what: str) -> None:
        if on_trial is not None:
            on_trial(*count_trials(config, data, workspace), what)

    for method, left_out in dict.fromkeys((cell.method, cell.left_out) for cell in cells(config)):
        tell(f"{method}: policy")
        part = data if left_out is None else without_cabinet(data, left_out)
        workspace.policy(method_named(method), part, config.policy_seed)
    missing = [piece for piece in pieces(config) if _missing(piece, data, workspace)]
    tell(f"{len(missing)} pieces")
    root = workspace.root.resolve()
    tasks = [(piece, data, root, workspace.config) for piece in missing]
    for _ in by_workers(_do, tasks, workers, ray_address):
        tell("by workers")


def pieces(config: ClosedLoopConfig) -> list[ClosedLoopConfig]:
    """Settings whose cells together are those of `config`, none twice."""
    nothing: dict[str, Any] = {
        "methods": (),
        "general_methods": (),
        "occlusions": (),
        "left_out": False,
        "sampled": (),
    }

    def piece(**some: Any) -> ClosedLoopConfig:
        return config.model_copy(update={**nothing, **some})

    found = [piece(methods=(method,)) for method in config.methods]
    for method in config.general_methods:
        only = {"general_methods": (method,)}
        if config.left_out:
            found.append(piece(**only, left_out=True))
        found += [piece(**only, occlusions=(occlusion,)) for occlusion in config.occlusions]
        found += [piece(**only, sampled=(seed,)) for seed in config.sampled]
    return found


def _missing(piece: ClosedLoopConfig, data: TaskData, workspace: Workspace) -> bool:
    done, total = count_trials(piece, data, workspace)
    return done < total


def _do(piece: ClosedLoopConfig, data: TaskData, root: Path, budgets: TablesConfig) -> None:
    """One piece, in a worker."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    workspace = Workspace(root, budgets, [data])
    try:
        run_closed_loop(piece, data, workspace)
    finally:
        workspace.close()
