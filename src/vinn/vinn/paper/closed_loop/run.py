"""The paper's closed-loop comparison (tables I and II) in simulation, trial by trial.

Beyond the paper: cabinets without demonstrations. Every trial is kept when it ends, in

    WORK/closed_loop/TASK-HASH/SETTINGS/METHOD/CONDITION.CABINET.jsonl

so that a killed run goes on with the next trial. All methods do the same trials: one seed each for
start, light, colours and background, whatever is covered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError
from vinn.evaluation.door_trials import DoorTrial
from vinn.evaluation.policy_source import PolicySource
from vinn.evaluation.provenance import running_commit
from vinn.evaluation.trial_files import append_trial, cut_torn_trial, read_trials
from vinn.evaluation.trial_pool import TrialPool
from vinn.evaluation.trials import Failure, as_json, opened_at_first, trial_seed
from vinn.paper.closed_loop.config import ClosedLoopConfig
from vinn.paper.methods import method_named
from vinn.paper.workspace import HASH_LENGTH, Workspace
from vinn.robot.config import RobotConfig
from vinn.sim.cabinets import CABINETS, cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import robot_config
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.tasks.data import TaskData

SEEN, LEFT_OUT, SAMPLED = "seen", "left_out", "sampled"
_FIRST_SAMPLED_SCENE = 1000

OnTrial = Callable[[int, int, str], None]
"""Called with (trials done, trials in all, what is next)."""


@dataclass(frozen=True)
class Cell:
    """One method's trials in one scene.

    Attributes:
        method: its name.
        condition: SEEN, LEFT_OUT, SAMPLED, or an occlusion's name.
        cabinet: the scene's.
        occlusion: what is covered.
        left_out: the cabinet whose demonstrations the policy has not seen; None for all seen.
        scene: decides the seeds of the trials; the same for all methods and occlusions.
        trials: how many.
    """

    method: str
    condition: str
    cabinet: str
    occlusion: Occlusion
    left_out: str | None
    scene: int
    trials: int


@dataclass(frozen=True)
class Outcome:
    """What the tables need of a trial; `failure` is NONE if the door was opened."""

    cabinet: str
    trial: int
    seed: int
    grasped: bool
    opened: bool
    fully_opened: bool
    failure: Failure
    attempts: int | None = None
    """Closings of the gripper begun; None in files from before they were counted."""
    commit: str = ""
    """Of the code that did it; empty in files from before it was kept."""

    @property
    def first_attempt(self) -> bool | None:
        """Whether the door was opened without a second closing; None: not known."""
        return opened_at_first(self.opened, self.attempts)


Outcomes = Mapping[tuple[str, str], tuple[Outcome, ...]]
"""Condition and method to the outcomes of all cabinets, in the same order for every method."""


def cells(config: ClosedLoopConfig) -> list[Cell]:
    """All cells, the most telling first: table I, left-out cabinets, covered, sampled ones."""
    found: list[Cell] = []
    named = list(enumerate(sorted(CABINETS)))
    general_trials = config.general_trials or config.trials
    for method in config.methods:
        found += [
            Cell(method, SEEN, cabinet, Occlusion.NONE, None, scene, config.trials)
            for scene, cabinet in named
        ]
    if config.left_out:
        for method in config.general_methods:
            found += [
                Cell(method, LEFT_OUT, cabinet, Occlusion.NONE, cabinet, scene, general_trials)
                for scene, cabinet in named
            ]
    for occlusion in config.occlusions:
        for method in config.general_methods:
            found += [
                Cell(method, occlusion.value, cabinet, occlusion, None, scene, general_trials)
                for scene, cabinet in named
            ]
    for method in config.general_methods:
        found += [
            Cell(
                method,
                SAMPLED,
                f"sampled-{seed}",
                Occlusion.NONE,
                None,
                _FIRST_SAMPLED_SCENE + seed,
                config.sampled_trials,
            )
            for seed in config.sampled
        ]
    return found


def run_closed_loop(
    config: ClosedLoopConfig,
    data: TaskData,
    workspace: Workspace,
    on_trial: OnTrial | None = None,
    pool: TrialPool | None = None,
) -> None:
    """Do every trial that was not done yet; `read_outcomes` gives the results.

    Args:
        config: what to measure.
        data: the task `door`; actions of length 1, as in the offline tables.
        workspace: trains and finds the policies.
        on_trial: told of progress.
        pool: does the trials; None: this process.

    Raises:
        DatasetError, ArtefactError, ConfigError: of the parts; what is complete is kept.
    """
    pool = pool or TrialPool(1)
    todo = cells(config)
    total = sum(cell.trials for cell in todo)
    done = count_trials(config, data, workspace)[0]
    # The cells of one policy together, so that no process waits for another at the end of each.
    for (name, left_out), group in groupby(todo, lambda cell: (cell.method, cell.left_out)):
        jobs: list[tuple[Cell, Path, int]] = []
        for cell in group:
            path = trials_path(config, data, workspace, cell)
            kept = len(read_trials(path))
            jobs += [(cell, path, trial) for trial in range(kept, cell.trials)]
        if not jobs:
            continue
        if on_trial is not None:
            on_trial(done, total, f"{name}: policy")
        for path in {path for _, path, _ in jobs}:
            cut_torn_trial(path)
        part = data if left_out is None else without_cabinet(data, left_out)
        source = PolicySource(workspace.policy(method_named(name), part, config.policy_seed))
        scale = part.train.action_scale
        results = pool.run([_trial(config, cell, source, scale, trial) for cell, _, trial in jobs])
        for (cell, path, _), result in zip(jobs, results, strict=True):
            append_trial(path, {**as_json(result), "commit": running_commit()})
            done += 1
            if on_trial is not None:
                on_trial(done, total, f"{cell.method}, {cell.condition}, {cell.cabinet}")
    if on_trial is not None:
        on_trial(total, total, "done")


def read_outcomes(config: ClosedLoopConfig, data: TaskData, workspace: Workspace) -> Outcomes:
    """The outcomes of what was measured so far; methods with missing trials are left out."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    incomplete = set()
    for cell in cells(config):
        lines = read_trials(trials_path(config, data, workspace, cell))[: cell.trials]
        key = (cell.condition, cell.method)
        if len(lines) < cell.trials:
            incomplete.add(key)
        found.setdefault(key, []).extend(_outcome(line) for line in lines)
    return {key: tuple(value) for key, value in found.items() if key not in incomplete}


def count_trials(config: ClosedLoopConfig, data: TaskData, workspace: Workspace) -> tuple[int, int]:
    """How many trials are done, and how many there are in all."""
    all_cells = cells(config)
    done = sum(
        min(len(read_trials(trials_path(config, data, workspace, cell))), cell.trials)
        for cell in all_cells
    )
    return done, sum(cell.trials for cell in all_cells)


def trials_path(config: ClosedLoopConfig, data: TaskData, workspace: Workspace, cell: Cell) -> Path:
    """The file of a cell's trials. What changes a trial is part of the name."""
    difficulty = difficulty_named(config.difficulty).model_dump_json()
    settings = f"{config.seed} {config.policy_seed} {config.scale_m} {difficulty}"
    if config.actions is not ActionScale.UNIT:
        settings += f" {config.actions.value}"
    folder = f"{data.name}-{data.train.hash[:HASH_LENGTH]}"
    digest = hashlib.sha256(settings.encode()).hexdigest()[:HASH_LENGTH]
    name = f"{cell.condition}.{cell.cabinet}.jsonl"
    return workspace.root / "closed_loop" / folder / digest / cell.method / name


def without_cabinet(data: TaskData, cabinet: str) -> TaskData:
    """The task without the demonstrations of one cabinet.

    Raises:
        DatasetError: the demonstrations do not say their cabinet, or nothing is left.
    """
    train = _other_cabinets(data.train, cabinet)
    return TaskData(
        f"{data.name}-without-{cabinet}", train, _other_cabinets(data.test, cabinet), train
    )


def robot_for(scene: SceneConfig, scale_m: float, action_scale: ActionScale) -> RobotConfig:
    """What fits a scene and a policy's actions: unit ones are `scale_m` long."""
    robot = robot_config(scene)
    if action_scale is ActionScale.METRIC:
        return robot
    motion = {"action_scale": action_scale, "scale": (scale_m,) * 3}
    return robot.model_copy(update={"motion": robot.motion.model_copy(update=motion)})


def _trial(
    config: ClosedLoopConfig, cell: Cell, source: PolicySource, scale: ActionScale, trial: int
) -> DoorTrial:
    scene = SceneConfig(
        cabinet=cabinet_named(cell.cabinet),
        difficulty=difficulty_named(config.difficulty),
        occlusion=cell.occlusion,
    )
    seed = trial_seed(config.seed, cell.scene, trial)
    robot = robot_for(scene, config.scale_m, scale)
    return DoorTrial(source, scene, trial, seed, robot=robot)


def _other_cabinets(dataset: Dataset, cabinet: str) -> Dataset:
    cabinets = [d.meta.provenance.get("cabinet") for d in dataset.demonstrations]
    if None in cabinets:
        name = dataset.demonstrations[cabinets.index(None)].meta.name
        raise DatasetError(f"{dataset.root}: {name} does not say which cabinet it shows")
    rows = [i for i, name in enumerate(cabinets) if name != cabinet]
    if not rows:
        raise DatasetError(f"{dataset.root}: no demonstration of another cabinet than {cabinet}")
    return replace(
        dataset,
        demonstrations=tuple(dataset.demonstrations[i] for i in rows),
        frame_hashes=tuple(dataset.frame_hashes[i] for i in rows),
    )


def _outcome(line: Mapping[str, Any]) -> Outcome:
    return Outcome(
        cabinet=line["cabinet"],
        trial=line["trial"],
        seed=line["seed"],
        grasped=line["grasped"],
        opened=line["opened"],
        fully_opened=line["fully_opened"],
        failure=Failure(line["failure"]),
        attempts=line.get("attempts"),
        commit=line.get("commit", ""),
    )


def mean_opened(outcomes: Sequence[Outcome]) -> float:
    """Share of trials in which the door reached 30 degrees."""
    return float(np.mean([outcome.opened for outcome in outcomes]))
