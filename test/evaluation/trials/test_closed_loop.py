"""Closed-loop trials: which are done, that they resume and are read again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from blobs import write_blobs
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError, DatasetError
from vinn.evaluation import door_trials
from vinn.evaluation.trial_pool import Kept
from vinn.evaluation.trials import Failure, TrialResult
from vinn.paper.closed_loop.config import (
    PRESETS_DIR,
    ClosedLoopConfig,
    load_closed_loop_config,
)
from vinn.paper.closed_loop.run import (
    LEFT_OUT,
    SAMPLED,
    SEEN,
    cells,
    read_outcomes,
    run_closed_loop,
    trials_path,
    without_cabinet,
)
from vinn.robot.types import ReasonCode
from vinn.sim.cabinets import CABINETS
from vinn.sim.scene import Occlusion
from vinn.tasks.data import TaskData, task_of_datasets

COVERED = Occlusion.SIGNS_HANDLE
CONFIG = ClosedLoopConfig(
    methods=("random", "open-loop", "raw-pixels"),
    general_methods=("raw-pixels", "open-loop"),
    compare=(("raw-pixels", "open-loop"),),
    trials=4,
    occlusions=(COVERED,),
    left_out=True,
    sampled=(7, 8),
    sampled_trials=2,
)


class World:
    """Only remembers what it was asked for; a door opens for even seeds."""

    def __init__(self, scene):
        self.scene = scene

    def reset(self, seed):
        self.seed = seed


class Workspace:
    """Gives a policy's name instead of a policy, and counts what is asked for."""

    def __init__(self, root):
        self.root = root
        self.asked = []

    def policy(self, method, data, seed):
        self.asked.append((method.name, data.name, seed))
        return f"{method.name} of {data.name}"


class Policy:
    action_scale = ActionScale.UNIT

    def __init__(self, name):
        self.name = name


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> TaskData:
    root = tmp_path_factory.mktemp("blobs")
    data = task_of_datasets(
        "door", write_blobs(root / "train", 6, 0), write_blobs(root / "test", 3, 1)
    )
    return replace(data, train=_labelled(data.train), test=_labelled(data.test))


def _labelled(dataset):
    names = sorted(CABINETS)
    shown = tuple(
        replace(d, meta=d.meta.model_copy(update={"provenance": {"cabinet": names[i % 3]}}))
        for i, d in enumerate(dataset.demonstrations)
    )
    return replace(dataset, demonstrations=shown)


@pytest.fixture
def simulated(monkeypatch):
    """Trials without physics. `limit` of them may run, then the process is 'killed'."""
    done = []

    def trial(policy, world, number, rollout, robot, stop_at):
        if len(done) == simulated_limit[0]:
            raise KeyboardInterrupt
        done.append((policy.name, world.scene.cabinet.name, world.scene.occlusion, world.seed))
        opened = world.seed % 2 == 0
        return TrialResult(
            cabinet=world.scene.cabinet.name,
            trial=number,
            seed=world.seed,
            grasped=True,
            opened=opened,
            fully_opened=False,
            angle_rad=0.6,
            reason=ReasonCode.STEP_LIMIT,
            steps=3,
            failure=Failure.NONE if opened else Failure.SLIPPED,
            duration_s=1.0,
        )

    simulated_limit = [10_000]
    monkeypatch.setattr(door_trials, "_worlds", Kept(World))
    monkeypatch.setattr(door_trials, "run_trial", trial)
    monkeypatch.setattr(door_trials, "opened_policy", lambda source: Policy(source.directory))
    return done, simulated_limit


def test_every_method_does_the_same_trials_whatever_is_covered(task, tmp_path, simulated):
    done, _ = simulated
    run_closed_loop(CONFIG, task, Workspace(tmp_path))
    assert len(done) == sum(cell.trials for cell in cells(CONFIG))
    outcomes = read_outcomes(CONFIG, task, Workspace(tmp_path))

    def trials(condition, method):
        return [(o.cabinet, o.seed) for o in outcomes[condition, method]]

    seen = trials(SEEN, "random")
    assert len(set(seen)) == 12
    for key in ((SEEN, "raw-pixels"), (COVERED.value, "open-loop"), (LEFT_OUT, "raw-pixels")):
        assert trials(*key) == seen
    sampled = trials(SAMPLED, "raw-pixels")
    assert sampled == trials(SAMPLED, "open-loop")
    assert [cabinet for cabinet, _ in sampled] == ["sampled-7"] * 2 + ["sampled-8"] * 2
    assert not {seed for _, seed in sampled} & {seed for _, seed in seen}


def test_a_left_out_cabinets_policy_learns_from_the_others(task, tmp_path, simulated):
    done, _ = simulated
    run_closed_loop(CONFIG, task, Workspace(tmp_path))
    for policy, cabinet, _, _ in done:
        if "without" in policy:
            assert policy.endswith(f"door-without-{cabinet}")
    assert {policy for policy, *_ in done if "without" in policy} == {
        f"{method} of door-without-{cabinet}"
        for method in ("raw-pixels", "open-loop")
        for cabinet in CABINETS
    }
    for cabinet in CABINETS:
        part = without_cabinet(task, cabinet)
        shown = [d.meta.provenance["cabinet"] for d in part.train.demonstrations]
        assert len(shown) == 4
        assert cabinet not in shown
        assert part.train.hash != task.train.hash
        names = [d.meta.name for d in part.train.demonstrations]
        hashes = dict(
            zip((d.meta.name for d in task.train.demonstrations), task.train.frame_hashes)  # noqa: B905
        )
        assert part.train.frame_hashes == tuple(hashes[name] for name in names)


def test_a_killed_run_goes_on_with_the_next_trial(task, tmp_path, simulated):
    done, limit = simulated
    run_closed_loop(CONFIG, task, Workspace(tmp_path / "whole"))
    whole = list(done)
    done.clear()
    first = Workspace(tmp_path / "cut")
    limit[0] = 6
    with pytest.raises(KeyboardInterrupt):
        run_closed_loop(CONFIG, task, first)
    # Killed in the middle of a line: 4 trials of one cabinet, 2 and a half of the next.
    torn = trials_path(CONFIG, task, first, cells(CONFIG)[1])
    torn.write_bytes(torn.read_bytes() + b'{"cabinet": "wal')
    assert read_outcomes(CONFIG, task, first) == {}
    torn.write_bytes(torn.read_bytes() + b'{"cabinet": "wal')
    limit[0] = 10_000
    progress = []
    run_closed_loop(CONFIG, task, first, lambda *update: progress.append(update))
    assert done == whole
    assert progress[-1] == (len(whole), len(whole), "done")
    assert [n for n, _, what in progress if "policy" not in what] == [*range(7, 93), 92]
    finished = Workspace(tmp_path / "cut")
    run_closed_loop(CONFIG, task, finished)
    assert finished.asked == []
    assert read_outcomes(CONFIG, task, first) == read_outcomes(
        CONFIG, task, Workspace(tmp_path / "whole")
    )


def test_fewer_trials_on_covered_cabinets_are_the_first_ones(task, tmp_path, simulated):
    run_closed_loop(CONFIG, task, Workspace(tmp_path))
    fewer = CONFIG.model_copy(update={"general_trials": 2})
    found = read_outcomes(fewer, task, Workspace(tmp_path))
    assert len(found[SEEN, "raw-pixels"]) == 12
    for condition in (COVERED.value, LEFT_OUT):
        for cabinet in CABINETS:
            own = [o.seed for o in found[condition, "raw-pixels"] if o.cabinet == cabinet]
            seen = [o.seed for o in found[SEEN, "raw-pixels"] if o.cabinet == cabinet]
            assert own == seen[:2]


def test_other_settings_never_read_these_trials(task, tmp_path, simulated):
    run_closed_loop(CONFIG, task, Workspace(tmp_path))
    for change in ({"seed": 1}, {"policy_seed": 1}, {"scale_m": 0.03}, {"difficulty": "paper"}):
        other = CONFIG.model_copy(update=change)
        assert read_outcomes(other, task, Workspace(tmp_path)) == {}
    fewer = CONFIG.model_copy(update={"trials": 2})
    found = read_outcomes(fewer, task, Workspace(tmp_path))
    assert len(found[SEEN, "random"]) == 6


def test_a_damaged_file_of_trials_is_named(task, tmp_path, simulated):
    workspace = Workspace(tmp_path)
    path = trials_path(CONFIG, task, workspace, cells(CONFIG)[0])
    path.parent.mkdir(parents=True)
    path.write_text("not json\n")
    with pytest.raises(ConfigError, match=r"seen\.oak\.jsonl: not trials"):
        run_closed_loop(CONFIG, task, workspace)


def test_demonstrations_of_unknown_or_of_one_cabinet_are_refused(task):
    nameless = replace(
        task.train,
        demonstrations=tuple(
            replace(d, meta=d.meta.model_copy(update={"provenance": {}}))
            for d in task.train.demonstrations
        ),
    )
    with pytest.raises(DatasetError, match="does not say which cabinet"):
        without_cabinet(replace(task, train=nameless), "oak")
    only_white = without_cabinet(without_cabinet(task, "oak"), "walnut")
    with pytest.raises(DatasetError, match="no demonstration of another cabinet than white"):
        without_cabinet(only_white, "white")


@pytest.mark.parametrize("preset", [path.stem for path in PRESETS_DIR.glob("*.yaml")])
def test_presets_are_valid(preset):
    config = load_closed_loop_config(preset)
    assert config.methods or config.general_methods
    has_general_scenes = bool(config.occlusions or config.left_out or config.sampled)
    assert bool(config.general_methods) == has_general_scenes
    # Pairs count trials that both rows were given.
    tables = [set(config.methods), set(config.general_methods)]
    for pair in config.compare:
        assert any(set(pair) <= rows for rows in tables)


def test_unknown_names_are_refused(tmp_path):
    known = ", ".join(sorted(path.stem for path in PRESETS_DIR.glob("*.yaml")))
    with pytest.raises(ConfigError, match=f"known: {known}, or"):
        load_closed_loop_config("fast")
    path = tmp_path / "mine.yaml"
    path.write_text("methods: [telepathy]\n")
    with pytest.raises(ConfigError, match="'telepathy' is unknown"):
        load_closed_loop_config(str(path))
    path.write_text("difficulty: kitchen\nmethods: [random]\n")
    with pytest.raises(ConfigError, match="'kitchen' is unknown; known: easy, hard, paper"):
        load_closed_loop_config(str(path))
    path.write_text("methods: [random, random]\n")
    with pytest.raises(ConfigError, match="each method once"):
        load_closed_loop_config(str(path))


def test_lines_from_before_attempts_were_counted_are_read(task, tmp_path, simulated):
    run_closed_loop(CONFIG, task, Workspace(tmp_path))
    for cell in cells(CONFIG):
        path = trials_path(CONFIG, task, Workspace(tmp_path), cell)
        kept = [json.loads(line) for line in path.read_text().splitlines()]
        for line in kept:
            line.pop("attempts", None)
        path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    found = read_outcomes(CONFIG, task, Workspace(tmp_path))
    assert all(o.attempts is None and o.first_attempt is None for t in found.values() for o in t)
