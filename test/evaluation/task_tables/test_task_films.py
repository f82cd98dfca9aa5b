"""Films of trials: the trial itself, seen by somebody else as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_task import LinePolicy, LineScene, line_task
from vinn.errors import ConfigError
from vinn.paper.tasks import films
from vinn.paper.tasks.config import TaskTablesConfig
from vinn.paper.tasks.films import filmed, films_page
from vinn.paper.tasks.run import RecordedTask, TaskOutcome
from vinn.paper.tasks.trials import SceneTrial, task_trials
from vinn.tasks.registry import TASKS
from vinn.tasks.types import TaskSettings

SETTINGS = TaskSettings(task="line")
CONFIG = TaskTablesConfig(
    title="Line", training="quick", tasks={"reach-v3": {}}, methods=("vinn", "imagenet"), trials=3
)


def job(place_m: float, thing_m: float, scenes: list[LineScene] | None = None) -> SceneTrial:
    task = line_task([] if scenes is None else scenes, thing_m)
    (only,) = task_trials(LinePolicy(0.02, (place_m,)), task, SETTINGS, 1, 0)
    return only


@pytest.mark.parametrize(("place_m", "good"), [(0.1, True), (0.04, False)])
def test_a_film_is_of_the_trial_that_was_run(place_m: float, good: bool) -> None:
    scenes: list[LineScene] = []
    result = job(place_m, 0.1, scenes).run()
    success, frames = filmed(job(place_m, 0.1, scenes))
    assert success is result.success is good
    assert scenes[0].moves == scenes[1].moves
    assert all(scene.freed for scene in scenes)
    # The onlooker's picture, 24 x 32, beside what the policy saw, of the same height.
    assert {frame.shape for frame in frames} == {(24, 32 + 24, 3)}
    assert len(frames) >= result.steps
    seen = [int(frame[12, 44, 0]) for frame in frames]
    assert seen == sorted(seen) if good else seen[0] == 0
    assert (frames[0][:, :32] == 90).all()


def outcomes(done: list[bool]) -> dict[tuple[str, str], tuple[TaskOutcome, ...]]:
    return {
        ("reach-v3", method): tuple(
            TaskOutcome("reach-v3", 0, i, good, 1, 5, "SUCCESS" if good else "STEP_LIMIT", "")
            for i, good in enumerate(row)
        )
        for method, row in (("vinn", done), ("imagenet", [False] * len(done)))
    }


class Workspace:
    def __init__(self, root: Path) -> None:
        self.root = root

    def policy(self, method: Any, data: Any, seed: int) -> Path:
        assert method.name == "vinn"
        return Path("policy")


class Named:
    name = "reach-v3"


RECORDED: Any = [RecordedTask(0, Named(), SETTINGS)]  # type: ignore[arg-type]


def test_the_page_shows_the_first_success_and_the_first_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def seen(trial: SceneTrial) -> tuple[bool, list[np.ndarray]]:
        asked.append(trial.trial)
        return trial.trial == 1, [np.full((24, 56, 3), 20 * i, np.uint8) for i in range(4)]

    monkeypatch.setattr(films, "filmed", seen)
    work: Any = Workspace(tmp_path)
    page = films_page(CONFIG, RECORDED, work, outcomes([False, True, False]), tmp_path / "p.html")
    assert sorted(asked) == [0, 1]
    text = page.read_text()
    assert text.count("<video") == 2
    assert "1 of 3" in text
    assert "done, seed 0, trial 1" in text
    assert "STEP_LIMIT, seed 0, trial 0" in text
    # Films are kept: another page asks for none again.
    films_page(CONFIG, RECORDED, work, outcomes([False, True, False]), tmp_path / "q.html")
    assert len(asked) == 2
    with pytest.raises(ConfigError, match="ended otherwise"):
        films_page(CONFIG, RECORDED, work, outcomes([False, False, True]), tmp_path / "r.html")
    with pytest.raises(ConfigError, match="no row of nearest neighbours"):
        films_page(CONFIG, RECORDED, work, {}, tmp_path / "s.html")


def test_what_has_no_scene_is_refused() -> None:
    with pytest.raises(ConfigError, match="task door"):
        filmed(replace(job(0.1, 0.1), task=TASKS["door"]))
