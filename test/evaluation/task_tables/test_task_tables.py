"""Tables of tasks: the same trials for every row, resumed one by one, and what is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blobs import write_blobs
from vinn.errors import ConfigError, DatasetError
from vinn.evaluation.policy_source import PolicySource
from vinn.evaluation.statistics import wilson_interval
from vinn.paper.tasks import run as task_run
from vinn.paper.tasks.config import PRESETS_DIR, TaskTablesConfig, load_task_tables_config
from vinn.paper.tasks.output import best_retrieval, table_markdown, task_results
from vinn.paper.tasks.run import (
    RecordedTask,
    TaskOutcome,
    read_outcomes,
    read_refusals,
    run_task_tables,
    trials_path,
)
from vinn.paper.tasks.trials import SceneTrial, TaskTrial
from vinn.robot.types import ReasonCode
from vinn.tasks.data import task_of_datasets
from vinn.tasks.registry import task_settings
from vinn.tasks.types import TaskSettings

TASKS = {"reach-v3": {}, "push-v3": {}, "stick-pull-v3": {}}
CONFIG = TaskTablesConfig(
    title="Some",
    training="quick",
    tasks=TASKS,
    goal_tasks=("reach-v3", "push-v3"),
    goal_mean=85,
    goal_ahead_of="bc-rep",
    methods=("random", "imagenet", "bc-rep", "vinn-plus", "grasp-point"),
    compare=(("vinn-plus", "bc-rep"), ("vinn-plus", "imagenet")),
    trials=5,
    seeds=(3, 4),
)


class Workspace:
    """Gives a policy's name instead of a policy; has no grasp point for `push-v3`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[tuple[str, str, int]] = []
        self.units: dict[tuple[str, str], dict[str, Any]] = {}

    def policy(self, method: Any, data: Any, seed: int) -> Path:
        self.asked.append((method.name, data.name, seed))
        if (method.name, data.name) == ("grasp-point", "push-v3"):
            raise DatasetError(f"{data.train.root}: no grasp point")
        return Path(method.name)

    def task_dir(self, data: Any) -> Path:
        return Path(f"{data.name}-{data.train.hash[:8]}")

    def measured_unit(self, folder: Path, name: str) -> dict[str, Any] | None:
        return self.units.get((str(folder), name))

    def unit(
        self, folder: Path, name: str, measure: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        return self.units.setdefault((str(folder), name), measure())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[RecordedTask]:
    root = tmp_path_factory.mktemp("blobs")
    found = []
    for seed in CONFIG.seeds:
        for place, name in enumerate(TASKS):
            folder = root / f"{seed}-{place}"
            train = write_blobs(folder / "train", 2, 10 * seed + place)
            test = write_blobs(folder / "test", 1, 1000 + 10 * seed + place)
            data = task_of_datasets(name, train, test)
            found.append(RecordedTask(seed, data, task_settings(name, seed=seed)))
    return found


Done = list[tuple[str, str, int]]


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> tuple[Done, list[int]]:
    """Trials without physics, done for even seeds. `limit` of them may run, then it is 'killed'."""
    done: Done = []
    limit = [10_000]

    def run(self: SceneTrial) -> TaskTrial:
        if len(done) == limit[0]:
            raise KeyboardInterrupt
        assert isinstance(self.policy, PolicySource)
        assert isinstance(self.task, str)
        done.append((self.task, str(self.policy.directory), self.seed))
        good = self.seed % 2 == 0 or str(self.policy.directory) == "vinn-plus"
        reason = ReasonCode.SUCCESS if good else ReasonCode.STEP_LIMIT
        return TaskTrial(self.trial, self.seed, good, reason, 7, 1 + self.trial % 2)

    monkeypatch.setattr(SceneTrial, "run", run)
    return done, limit


def workspace(root: Path) -> Any:
    return Workspace(root)


def test_every_row_is_given_the_same_trials(
    recorded: list[RecordedTask], tmp_path: Path, simulated: tuple[Done, list[int]]
) -> None:
    done, _ = simulated
    work = workspace(tmp_path)
    run_task_tables(CONFIG, recorded, work)
    of_row = {
        (task, method): [seed for name, policy, seed in done if (name, policy) == (task, method)]
        for task in TASKS
        for method in CONFIG.methods
    }
    assert of_row.pop(("push-v3", "grasp-point")) == []
    assert {len(seeds) for seeds in of_row.values()} == {10}
    assert len({tuple(seeds) for seeds in of_row.values()}) == 1
    assert len(set(next(iter(of_row.values())))) == 10
    outcomes = read_outcomes(CONFIG, recorded, work)
    assert outcomes.keys() == of_row.keys()
    for trials in outcomes.values():
        assert [(t.seed, t.trial) for t in trials] == [(s, i) for s in (3, 4) for i in range(5)]
    assert read_refusals(CONFIG, recorded, work) == {("push-v3", "grasp-point"): "no grasp point"}


def test_a_killed_run_goes_on_with_the_next_trial(
    recorded: list[RecordedTask], tmp_path: Path, simulated: tuple[Done, list[int]]
) -> None:
    done, limit = simulated
    run_task_tables(CONFIG, recorded, workspace(tmp_path / "whole"))
    whole = list(done)
    done.clear()
    cut = workspace(tmp_path / "cut")
    limit[0] = 8  # in the second row of the first task
    with pytest.raises(KeyboardInterrupt):
        run_task_tables(CONFIG, recorded, cut)
    torn = trials_path(CONFIG, recorded[0], cut, CONFIG.methods[1])
    torn.write_bytes(torn.read_bytes() + b'{"trial": 3, "se')
    limit[0] = 10_000
    told: list[tuple[int, int, str]] = []
    run_task_tables(CONFIG, recorded, cut, lambda *news: told.append(news))
    assert done == whole
    assert told[-1] == (150, 150, "done")
    counts = [number for number, *_ in told]
    assert counts == sorted(counts)
    finished = workspace(tmp_path / "cut")
    finished.units = cut.units
    run_task_tables(CONFIG, recorded, finished)
    assert finished.asked == []
    assert read_outcomes(CONFIG, recorded, cut) == read_outcomes(
        CONFIG, recorded, workspace(tmp_path / "whole")
    )


def test_what_changes_a_trial_changes_its_file(
    recorded: list[RecordedTask], tmp_path: Path, simulated: tuple[Done, list[int]]
) -> None:
    work = workspace(tmp_path)
    run_task_tables(CONFIG, recorded, work)
    changes: list[dict[str, object]] = [
        {"camera": "corner2"},
        {"frame_stride": 5},
        {"image_px": 64},
        {"frames_after_success": 2},
    ]
    for change in changes:
        shown = replace(recorded[0], settings=recorded[0].settings.model_copy(update=change))
        assert read_outcomes(CONFIG, [shown], work) == {}
    assert read_outcomes(CONFIG.model_copy(update={"max_steps": 9}), recorded, work) == {}
    more = recorded[0].settings.model_copy(update={"train": 9})
    assert len(read_outcomes(CONFIG, [replace(recorded[0], settings=more)], work)) == 5


def test_a_camera_off_the_hand_has_no_grasp_point_and_other_errors_end_the_run(
    recorded: list[RecordedTask],
    tmp_path: Path,
    simulated: tuple[Done, list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = workspace(tmp_path)
    off = recorded[0].settings.model_copy(update={"camera": "gripperPOV+corner2"})
    config = CONFIG.part(tasks=("reach-v3",), methods=("grasp-point", "imagenet"))
    run_task_tables(config, [replace(recorded[0], settings=off)], work)
    said = read_refusals(config, [replace(recorded[0], settings=off)], work)
    assert said == {("reach-v3", "grasp-point"): task_run.OFF_THE_HAND}

    def damaged(*_: object) -> Path:
        raise DatasetError("frames.parquet: damaged")

    monkeypatch.setattr(work, "policy", damaged)
    with pytest.raises(DatasetError, match="damaged"):
        run_task_tables(config, recorded[:1], work)


def outcomes_of(rates: dict[tuple[str, str], list[bool]]) -> dict[Any, tuple[TaskOutcome, ...]]:
    return {
        (task, method): tuple(
            TaskOutcome(task, 0, i, good, 1, 5, "SUCCESS" if good else "STEP_LIMIT", "abc")
            for i, good in enumerate(done)
        )
        for (task, method), done in rates.items()
    }


def test_results_means_goals_and_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    rates = {
        (task, method): list(rng.random(40) < share)
        for task in TASKS
        for method, share in (("imagenet", 0.5), ("bc-rep", 0.3), ("vinn-plus", 0.9))
    }
    found = outcomes_of(rates)
    refused = {("push-v3", "grasp-point"): "no grasp point"}
    results = task_results("some", CONFIG, found, refused, "command")
    rows = {row.name: row for row in results.rows}
    plus = {task: 100 * float(np.mean(rates[task, "vinn-plus"])) for task in TASKS}
    for task, percent in plus.items():
        row = rows[f"{task}: VINN-plus"]
        assert row.value == pytest.approx(percent, abs=0.05)
        low, high = wilson_interval(sum(rates[task, "vinn-plus"]), 40)
        assert f"95 % {100 * low:.0f} to {100 * high:.0f}, n 40" in row.unit
        assert row.commit == "abc"
    strong = (plus["reach-v3"] + plus["push-v3"]) / 2
    assert rows["mean where strong: VINN-plus"].value == pytest.approx(strong, abs=0.05)
    assert best_retrieval(CONFIG, found) == "vinn-plus"
    goals = {name: row for name, row in rows.items() if name.startswith("goal")}
    mean, ahead = goals.values()
    assert mean.met is (strong >= 85)
    assert isinstance(ahead.value, float)
    assert ahead.met is (ahead.value > 0)
    both = [
        a - b
        for task in ("reach-v3", "push-v3")
        for a, b in zip(
            map(int, rates[task, "vinn-plus"]), map(int, rates[task, "bc-rep"]), strict=True
        )
    ]
    assert 0 < ahead.value < 100 * float(np.mean(both))
    assert rows["push-v3: Grasp point"].value == "no policy"
    missing = str(rows["not measured yet"].value)
    assert "reach-v3: random" in missing
    assert "push-v3: grasp-point" not in missing
    page = table_markdown(CONFIG, found, refused, "Caption.", "command")
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in page.partition("## How")[0].splitlines()
        if line.startswith("|")
    }
    assert set(TASKS) <= set(cells)
    assert all(len(row) == len(CONFIG.methods) for row in map(cells.get, TASKS) if row)
    assert cells["push-v3"][-1] == "no policy: no grasp point"
    assert re.match(r"\d+/40 \[\d+%, \d+%\]", cells["reach-v3"][3])
    assert "No published figures stand beside these" in page


def test_published_figures_stand_beside_with_source_and_difference() -> None:
    said = {
        "title": "Other",
        "source": "Table 9 of somewhere",
        "percent": {"reach-v3": 40, "push-v3": 60},
        "differs": "Another camera.",
    }
    config = TaskTablesConfig.model_validate({**CONFIG.model_dump(), "published": [said]})
    page = table_markdown(config, {}, {}, "", "command")
    assert "Other (published)" in page
    assert "Other: Table 9 of somewhere. Another camera." in page
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if line[:1] == "|"}
    assert lines["reach-v3"].rstrip(" |").endswith("40 %")
    assert lines["*mean where strong*"].rstrip(" |").endswith("50 %")


@pytest.mark.parametrize("preset", [path.stem for path in PRESETS_DIR.glob("*.yaml")])
def test_presets_are_valid(preset: str) -> None:
    config = load_task_tables_config(preset)
    for name, changes in config.tasks.items():
        TaskSettings.model_validate({"task": name, **changes})
    # What settings are chosen on is in no table.
    validation = load_task_tables_config("metaworld-validation")
    if preset != "metaworld-validation":
        assert not set(config.seeds) & set(validation.seeds)


def test_the_twelve_tasks_are_all_there() -> None:
    config = load_task_tables_config("metaworld")
    assert len(config.tasks) == 12
    assert len(config.goal_tasks) == 8
    assert (config.trials, len(config.seeds), config.demonstrations) == (20, 3, 10)
    validation = load_task_tables_config("metaworld-validation")
    for name, changes in validation.tasks.items():
        assert config.tasks[name] == changes
    assert validation.training == config.training


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tasks": {"reach-v2": {}}}, "'reach-v2' is unknown"),
        ({"tasks": {}}, "at least one task"),
        ({"tasks": {"reach-v3": {"cameras": "x"}}}, "'cameras' is no setting"),
        ({"methods": ["telepathy"]}, "'telepathy' is unknown"),
        ({"methods": ["random", "random"]}, "each once"),
        ({"methods": []}, "at least one"),
        ({"seeds": [1, 1]}, "each once"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"compare": [["vinn", "bc-rep"]]}, "'vinn' is compared"),
        ({"goal_ahead_of": "darp"}, "'darp' is compared"),
        ({"goal_tasks": ["door"]}, "'door' is not one of the tasks"),
        ({"goal_tasks": []}, "goal_mean needs goal_tasks"),
        ({"episodes": 3}, "unknown key episodes"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], said: str, tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**CONFIG.model_dump(mode="json"), **change}))
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_task_tables_config(str(path))


def test_parts_are_parts() -> None:
    part = CONFIG.part(("reach-v3",), ("vinn-plus", "imagenet"), ("4",))
    assert (list(part.tasks), part.methods, part.seeds) == (
        ["reach-v3"],
        ("imagenet", "vinn-plus"),
        (4,),
    )
    assert part.compare == (("vinn-plus", "imagenet"),)
    assert (part.goal_mean, part.goal_tasks, part.goal_ahead_of) == (None, (), None)
    assert CONFIG.part() == CONFIG
    for given in ({"tasks": ("door",)}, {"methods": ("vinn",)}, {"seeds": ("9",)}):
        with pytest.raises(ConfigError, match="is not of the preset"):
            CONFIG.part(**given)  # type: ignore[arg-type]
