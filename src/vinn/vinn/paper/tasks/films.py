"""One success and one failure of a row on each task, done again before a second camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.evaluation.policy_source import PolicySource
from vinn.paper.methods import method_named
from vinn.paper.tasks.config import TaskTablesConfig
from vinn.paper.tasks.output import best_retrieval
from vinn.paper.tasks.run import Outcomes, RecordedTask, TaskOutcome, scene_trial
from vinn.paper.tasks.trials import SceneTrial
from vinn.paper.workspace import Workspace
from vinn.tasks.registry import task_named
from vinn.tasks.types import TaskScene, TaskSettings
from vinn.viz.report import Report, VideoItem
from vinn.viz.video import write_video

FPS = 8.0


def films_page(
    config: TaskTablesConfig,
    recorded: Sequence[RecordedTask],
    workspace: Workspace,
    outcomes: Outcomes,
    page: Path,
) -> Path:
    """Write the page with a success and a failure of the best row on each task, where it has both.

    Args:
        config: tasks and rows.
        recorded: of `record_tasks`.
        workspace: has the policies; the films are kept in it.
        outcomes: of the trials.
        page: HTML file to write.

    Raises:
        ConfigError: no row of nearest neighbours has all its trials, or a trial ends otherwise
            when it is done again.
    """
    method = best_retrieval(config, outcomes)
    if method is None:
        raise ConfigError("no row of nearest neighbours has all its trials yet")
    title = method_named(method).title
    report = Report(config.title, f"{title}: one success and one failure a task, where it has both")
    for task, outcome in _shown(config, outcomes, method):
        section = report.section(f"{task}: {_rate_said(outcomes[task, method])}")
        section.videos(
            [
                VideoItem(
                    _film(config, recorded, workspace, method, each),
                    f"{'done' if each.success else each.reason}, seed {each.seed}, trial "
                    f"{each.trial}, {each.steps} steps",
                    good=each.success,
                )
                for each in outcome
            ]
        )
    report.write(page)
    return page


def filmed(job: SceneTrial) -> tuple[bool, list[NDArray[np.uint8]]]:
    """Do a trial and see it: whether it was done, and what an onlooker and the camera saw.

    Pictures are (H, W, 3) uint8 RGB, one for each step.
    """
    frames: list[NDArray[np.uint8]] = []
    task = task_named(job.task) if isinstance(job.task, str) else job.task
    make: Callable[[TaskSettings, int], TaskScene] | None = task.scene
    if make is None:
        raise ConfigError(f"task {task.name}: has trials of its own; allowed: a task with a scene")
    seen = replace(
        task, scene=lambda settings, seed: _FilmedScene(make(settings, seed), frames.append)
    )
    return replace(job, task=seen).run().success, frames


class _FilmedScene:
    """A scene that shows what the policy sees, and its surroundings, to somebody else."""

    def __init__(self, scene: TaskScene, show: Callable[[NDArray[np.uint8]], None]) -> None:
        self._scene, self._show = scene, show

    @property
    def success(self) -> bool:
        return self._scene.success

    @property
    def aperture_m(self) -> float:
        return self._scene.aperture_m

    def wrist_image(self) -> NDArray[np.uint8]:
        seen, beside = self._scene.wrist_image(), self._scene.overview_image()
        height = beside.shape[0]
        width = round(seen.shape[1] * height / seen.shape[0])
        resized = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)
        self._show(np.hstack([beside, np.asarray(resized, np.uint8)]))
        return seen

    def overview_image(self) -> NDArray[np.uint8]:
        return self._scene.overview_image()

    def act(self, camera_delta_m: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
        return self._scene.act(camera_delta_m, closed)

    def close(self) -> None:
        self._scene.close()


def _shown(
    config: TaskTablesConfig, outcomes: Outcomes, method: str
) -> Iterator[tuple[str, list[TaskOutcome]]]:
    """The first success and the first failure on each task."""
    for task in config.tasks:
        trials = outcomes.get((task, method), ())
        firsts = [next((t for t in trials if t.success is good), None) for good in (True, False)]
        shown = [trial for trial in firsts if trial is not None]
        if shown:
            yield task, shown


def _rate_said(trials: Sequence[TaskOutcome]) -> str:
    return f"{sum(trial.success for trial in trials)} of {len(trials)}"


def _film(
    config: TaskTablesConfig,
    recorded: Sequence[RecordedTask],
    workspace: Workspace,
    method: str,
    outcome: TaskOutcome,
) -> Path:
    path = workspace.root / "films" / method / f"{outcome.task}-{outcome.seed}-{outcome.trial}.mp4"
    if path.exists():
        return path
    (task,) = (
        each for each in recorded if (each.data.name, each.seed) == (outcome.task, outcome.seed)
    )
    source = PolicySource(workspace.policy(method_named(method), task.data, task.seed))
    success, frames = filmed(scene_trial(config, task, source, outcome.trial))
    if success is not outcome.success:
        raise ConfigError(
            f"{outcome.task}, seed {outcome.seed}, trial {outcome.trial}: ended otherwise when it "
            "was done again"
        )
    return write_video(path, frames, FPS)
