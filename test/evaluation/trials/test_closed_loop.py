"""Closed-loop tables: which trials are done, that they resume, pair and are counted right."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from blobs import write_blobs
from vinn.demos.frames import decode_jpeg
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError, DatasetError
from vinn.evaluation.statistics import UNKNOWN
from vinn.evaluation.trials import Failure, TrialResult, run_trial
from vinn.paper.closed_loop import run as closed_loop
from vinn.paper.closed_loop.config import (
    PRESETS_DIR,
    ClosedLoopConfig,
    load_closed_loop_config,
)
from vinn.paper.closed_loop.output import (
    closed_loop_results,
    occlusion_figure,
    tables_markdown,
)
from vinn.paper.closed_loop.run import (
    LEFT_OUT,
    SAMPLED,
    SEEN,
    Outcome,
    cells,
    read_outcomes,
    robot_for,
    run_closed_loop,
    trials_path,
    without_cabinet,
)
from vinn.policies.types import Prediction
from vinn.robot.types import ReasonCode
from vinn.rollout.config import RolloutConfig
from vinn.sim.cabinets import CABINETS
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.world import DoorWorld
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

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

    def trial(policy, world, number, robot):
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
    monkeypatch.setattr(closed_loop, "DoorWorld", World)
    monkeypatch.setattr(closed_loop, "run_trial", trial)
    monkeypatch.setattr(closed_loop, "load_policy", Policy)
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
    for change in ({"seed": 1}, {"policy_seed": 1}, {"scale_m": 0.03}):
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
    path.write_text("methods: [random, random]\n")
    with pytest.raises(ConfigError, match="each method once"):
        load_closed_loop_config(str(path))


# --- what is written ------------------------------------------------------------------------


def _outcomes(opened: int, of: int = 30, failure: Failure = Failure.SLIPPED):
    names = sorted(CABINETS)
    return tuple(
        Outcome(
            cabinet=names[i * 3 // of],
            trial=i,
            seed=i,
            grasped=i < opened + 2,
            opened=i < opened,
            fully_opened=i < opened - 1,
            failure=Failure.NONE if i < opened else failure,
        )
        for i in range(of)
    )


FOUND = {
    (SEEN, "open-loop"): _outcomes(0, failure=Failure.MISSED_HANDLE),
    (SEEN, "raw-pixels"): _outcomes(6),
    (SEEN, "bc"): _outcomes(9),
    (SEEN, "vinn"): _outcomes(24),
    (COVERED.value, "vinn"): _outcomes(12),
    (SAMPLED, "vinn"): _outcomes(3, 6),
}
SETTINGS = ClosedLoopConfig(methods=("vinn",), compare=(("vinn", "bc"), ("vinn", "raw-pixels")))


def test_results_hold_rates_differences_and_goals():
    offline = {"open-loop": 3.0, "raw-pixels": 2.0, "bc": 1.5, "vinn": 1.0}
    rows = {row.name: row for row in closed_loop_results(SETTINGS, FOUND, offline, "cmd").rows}
    vinn = rows["seen: VINN (BYOL + NN)"]
    assert vinn.value == 80.0
    assert "95 % 63 to 90, n 30; grasped 26, fully opened 23" in vinn.unit
    difference = rows["seen: VINN (BYOL + NN) minus BC (end to end)"]
    assert difference.value == 50.0
    assert "McNemar p 6.1e-05, n 30" in difference.unit
    assert f"{COVERED.value}: VINN (BYOL + NN) minus BC (end to end)" not in rows
    assert rows["rank correlation of offline error and opened doors"].value == -1.0
    goals = {name: row.met for name, row in rows.items() if name.startswith("goal")}
    assert len(goals) == 6
    assert all(goals.values())


def test_success_at_the_first_attempt_stands_beside_success_with_retries():
    tried = tuple(replace(o, attempts=1 + o.trial % 3) for o in FOUND[SEEN, "vinn"])
    first = sum(o.opened and o.attempts == 1 for o in tried)
    assert 0 < first < 24
    found = {**FOUND, (SEEN, "vinn"): tried, (COVERED.value, "vinn"): tried}
    rows = {row.name: row for row in closed_loop_results(SETTINGS, found, {}, "cmd").rows}
    assert f"at the first attempt {first} / 30, grasped" in rows["seen: VINN (BYOL + NN)"].unit
    assert "first attempt" not in rows["seen: BC (end to end)"].unit
    lines = tables_markdown(SETTINGS, found, "", "cmd").splitlines()
    head = next(line for line in lines if line.startswith("| Method |")).split(" | ")
    column = head.index("at the first attempt")
    by_name = {line.split(" | ")[0]: line.split(" | ") for line in lines if line.startswith("| ")}
    assert by_name["| VINN (BYOL + NN)"][column] == f"{first} / 30"
    assert by_name["| BC (end to end)"][column] == UNKNOWN
    assert any(f", first {first} / 30" in line for line in lines)


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


def test_what_is_not_measured_yet_is_said():
    config = SETTINGS.model_copy(
        update={
            "methods": ("vinn", "imagenet"),
            "general_methods": ("vinn",),
            "left_out": True,
            "occlusions": (COVERED,),
        }
    )
    said = "seen: ImageNet + NN; left_out: VINN (BYOL + NN)"
    rows = {row.name: row for row in closed_loop_results(config, FOUND, {}, "cmd").rows}
    assert rows["not measured yet"].value == said
    assert f"Not measured yet: {said}." in tables_markdown(config, FOUND, "", "cmd")
    assert "ot measured yet" not in tables_markdown(SETTINGS, FOUND, "", "cmd")


def test_missed_goals_are_said():
    bad = {
        (SEEN, "open-loop"): _outcomes(9),
        (SEEN, "raw-pixels"): _outcomes(12),
        (SEEN, "vinn"): _outcomes(13),
        (SEEN, "bc-rep"): _outcomes(17),
    }
    missed = {row.name for row in closed_loop_results(SETTINGS, bad, {}, "cmd").missed}
    assert missed == {
        "goal: open loop fails",
        "goal: best method (BC-Rep) can",
        "goal: VINN on seen cabinets",
        "goal: VINN ahead of BC-Rep",
    }


def test_tables_stand_beside_the_papers_figures():
    text = tables_markdown(SETTINGS, FOUND, "Little training.", "vinn eval closed-loop-tables")
    rows = {
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in text.splitlines()
        if line.startswith("|")
    }
    assert ("BC (end to end)", "11/30", "9/30 [17%, 48%]", UNKNOWN, "8/30", "9/10", "0/10", "0/10", "0 %", "0 %") in rows  # fmt: skip # noqa: E501
    assert ("covered sign and handle", "12/30 [25%, 58%] (10/10, 2/10, 0/10) [70 %]") in rows
    assert ("freshly sampled cabinets", "3/6 [19%, 81%]") in rows
    assert any(row[:2] == (TITLE_SEEN, "Open loop") and row[2] == "30" for row in rows)


TITLE_SEEN = "cabinets of the demonstrations, unmodified"


# --- physics --------------------------------------------------------------------------------


class Forward:
    """Asks for a step of length 1 along the gripper, again and again."""

    action_scale = ActionScale.UNIT

    def __init__(self, world):
        self.camera_delta = world.world_R_camera.T @ world.scene.world_T_cabinet()[:3, 1]

    def reset(self):
        pass

    def advance(self, prediction, step):
        pass

    def predict(self, image_rgb):
        return Prediction(self.camera_delta, 0.0, np.eye(4)[0], self.action_scale)


@pytest.mark.physics
def test_an_action_of_length_one_moves_the_gripper_by_the_scale():
    scene = SceneConfig()
    with DoorWorld(scene) as world:
        world.reset(0, np.zeros(3))
        start = world.grasp_center_m
        policy = Forward(world)
        robot = robot_for(scene, 0.02, policy.action_scale)
        run_trial(policy, world, rollout=RolloutConfig(max_steps=3), robot=robot)
        moved = scene.world_T_cabinet()[:3, :3].T @ (world.grasp_center_m - start)
    np.testing.assert_allclose(moved, [0.0, 0.06, 0.0], atol=0.006)
    assert robot_for(scene, 0.02, ActionScale.METRIC).motion.scale == (1.0, 1.0, 1.0)


@pytest.mark.physics
def test_figure_of_covered_cabinets_shows_wrist_and_onlooker_at_each_level():
    image = decode_jpeg(occlusion_figure(cabinets=("white",)), "figure")
    height, width = image.shape[:2]
    level = width // len(Occlusion)
    assert level == height + height * 4 // 3
    parts = [image[:, i * level : (i + 1) * level].astype(int) for i in range(len(Occlusion))]
    changed = [(np.abs(part - parts[0]) > 60).any(axis=-1).mean() for part in parts]
    assert changed[0] == 0
    assert 0.01 < changed[1] < changed[2] < changed[3] < 0.5
