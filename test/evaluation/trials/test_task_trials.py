"""Trials of tasks other than the door: the robot's rules around any scene, and real scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vinn.cli.main import run
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import ConfigError
from vinn.paper.grasp.detectors import UNIT_STEP_M
from vinn.paper.tasks import tables as task_tables
from vinn.paper.tasks.trials import TaskTrial, run_task_trials, task_rates
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.types import Prediction, TakenStep
from vinn.robot.config import RobotConfig
from vinn.robot.kinematics import gripper_R_camera
from vinn.robot.types import ReasonCode
from vinn.rollout.config import RolloutConfig
from vinn.tasks.registry import TASKS, task_settings
from vinn.tasks.types import Task, TaskSettings

HELD_M, EMPTY_M, OPEN_M = 0.02, 0.0, 0.06


class LineScene:
    """A thing on a line before the hand: closing within a centimetre of it holds it."""

    def __init__(self, seed: int, from_m: float = 0.0) -> None:
        self.way_m = from_m or float(np.random.default_rng(seed).uniform(0.06, 0.12))
        self.forward_m, self.aperture_m, self.closed = 0.0, OPEN_M, False
        self.moves: list[float] = []
        self.freed = False

    @property
    def success(self) -> bool:
        return self.closed and self.aperture_m == HELD_M

    def wrist_image(self) -> np.ndarray:
        return np.full((8, 8, 3), int(1000 * self.forward_m), np.uint8)

    def act(self, camera_delta_m: np.ndarray, closed: bool) -> np.ndarray:
        self.moves.append(float(np.linalg.norm(camera_delta_m)))
        self.forward_m += float(camera_delta_m[2])
        self.closed = closed
        near = abs(self.forward_m - self.way_m) < 0.01
        self.aperture_m = (HELD_M if near else EMPTY_M) if closed else OPEN_M
        return camera_delta_m

    def close(self) -> None:
        self.freed = True


class LinePolicy:
    """Goes forward by steps and closes at places that it is told beforehand."""

    def __init__(
        self,
        step: float,
        close_at_m: tuple[float, ...],
        scale: ActionScale = ActionScale.METRIC,
        refusal: ReasonCode | None = None,
    ) -> None:
        self.action_scale, self._step, self._places = scale, step, close_at_m
        self._refusal = refusal
        self.taken: list[TakenStep] = []

    def reset(self) -> None:
        self._forward_m, self._missed = 0.0, 0
        self.taken.clear()

    def predict(self, image_rgb: np.ndarray) -> Prediction:
        there = self._missed < len(self._places) and (
            self._forward_m >= self._places[self._missed] - 1e-9
        )
        state = 3 if there else 0
        return Prediction(
            camera_delta=np.array([0.0, 0.0, 0.0 if there else self._step]),
            gripper_value=float(state),
            gripper_probabilities=np.eye(4)[state],
            action_scale=self.action_scale,
            refusal=self._refusal,
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        self.taken.append(step)
        self._forward_m += float(step.camera_delta_m[2])
        self._missed += step.missed


def line_task(scenes: list[LineScene], from_m: float = 0.0) -> Task:
    def scene(settings: TaskSettings, seed: int) -> LineScene:
        scenes.append(LineScene(seed, from_m))
        return scenes[-1]

    return Task("line", "Line", "", None, "", lambda settings: None, scene)  # type: ignore[arg-type,return-value]


SETTINGS = TaskSettings(task="line")


def test_what_closes_at_the_thing_is_done_at_the_first_attempt() -> None:
    scenes: list[LineScene] = []
    policy = LinePolicy(0.02, (0.1,))
    results = run_task_trials(policy, line_task(scenes, 0.1), SETTINGS, 3, seed=0)
    assert [(r.success, r.attempts, r.first_attempt) for r in results] == [(True, 1, True)] * 3
    assert len({r.seed for r in results}) == 3
    assert all(scene.freed for scene in scenes)
    done, first = task_rates(results)
    assert (done.successes, first.successes) == (3, 3)


def test_a_closing_on_nothing_is_told_and_tried_again() -> None:
    policy = LinePolicy(0.02, (0.04, 0.1))
    (result,) = run_task_trials(policy, line_task([], 0.1), SETTINGS, 1, seed=0)
    assert result.success
    assert result.attempts == 2
    assert not result.first_attempt
    assert sum(step.missed for step in policy.taken) == 1


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_no_more_closings_on_nothing_than_are_allowed(attempts: int) -> None:
    robot = RobotConfig()
    gripper = robot.gripper.model_copy(update={"attempts": attempts})
    robot = robot.model_copy(update={"gripper": gripper})
    policy = LinePolicy(0.02, (0.02,) * 9)
    (result,) = run_task_trials(policy, line_task([], 0.5), SETTINGS, 1, seed=0, robot=robot)
    assert (result.success, result.reason) == (False, ReasonCode.NO_GRASP)
    assert result.attempts == attempts


def test_a_refused_view_moves_nothing() -> None:
    scenes: list[LineScene] = []
    policy = LinePolicy(0.02, (0.1,), refusal=ReasonCode.NO_GRASP_POINT)
    (result,) = run_task_trials(policy, line_task(scenes), SETTINGS, 1, seed=0)
    assert (result.reason, result.steps) == (ReasonCode.NO_GRASP_POINT, 0)
    assert scenes[0].moves == []
    assert policy.taken == []


@pytest.mark.parametrize("step", [float("nan"), float("inf")])
def test_an_action_that_is_not_finite_moves_nothing(step: float) -> None:
    scenes: list[LineScene] = []
    (result,) = run_task_trials(LinePolicy(step, (0.1,)), line_task(scenes), SETTINGS, 1, seed=0)
    assert (result.reason, scenes[0].moves) == (ReasonCode.INVALID_INPUT, [])


def test_steps_are_scaled_and_no_longer_than_the_cap() -> None:
    scenes: list[LineScene] = []
    rollout = RolloutConfig(max_steps=3)
    unit = LinePolicy(1.0, (9.0,), ActionScale.UNIT)
    run_task_trials(unit, line_task(scenes), SETTINGS, 1, seed=0, rollout=rollout)
    assert scenes[-1].moves == pytest.approx([UNIT_STEP_M] * 3)
    long = LinePolicy(0.4, (9.0,))
    run_task_trials(long, line_task(scenes), SETTINGS, 1, seed=0, rollout=rollout)
    assert scenes[-1].moves == pytest.approx([RobotConfig().motion.step_cap_m] * 3)
    np.testing.assert_allclose(long.taken[0].sent_camera_delta_m[2], 0.05)


def test_what_does_not_fit_is_refused() -> None:
    policy = LinePolicy(0.02, (0.1,))
    with pytest.raises(ConfigError, match="trials = 0"):
        run_task_trials(policy, line_task([]), SETTINGS, 0, seed=0)
    with pytest.raises(ConfigError, match="task door"):
        run_task_trials(policy, TASKS["door"], SETTINGS, 1, seed=0)
    robot = RobotConfig()
    motion = robot.motion.model_copy(update={"action_scale": ActionScale.UNIT})
    with pytest.raises(ConfigError, match="unit"):
        run_task_trials(
            policy,
            line_task([]),
            SETTINGS,
            1,
            seed=0,
            robot=robot.model_copy(update={"motion": motion}),
        )


@pytest.mark.physics
@pytest.mark.parametrize("name", ["stacking", "pushing", "door-metaworld"])
def test_a_scene_does_what_its_demonstrations_say(name: str) -> None:
    """The expert's own actions, said as a policy says them, do the task in the expert's scene."""
    if TASKS[name].needs == "tasks":
        pytest.importorskip("metaworld")
    task, settings = TASKS[name], task_settings(name, image_px=48)
    seed, episode = 0, None
    while episode is None:
        recorder = task.recorder(settings)
        episode = recorder.episode(seed)
        recorder.close()
        seed += 1
    assert task.scene is not None
    scene = task.scene(settings, seed - 1)
    try:
        np.testing.assert_array_equal(scene.wrist_image(), episode.frames_rgb[0])
        assert not scene.success
        apertures = [scene.aperture_m]
        moved, shown = np.zeros(3), np.zeros(3)
        for delta, state in zip(episode.camera_delta_m, episode.gripper, strict=True):
            step = scene.act(np.asarray(delta, np.float64), closed=bool(state >= 2))
            apertures.append(scene.aperture_m)
            if max(episode.gripper[: len(apertures) - 1]) < 2:  # later the table is in the way
                moved, shown = moved + step, shown + delta
        assert scene.success
        # Meta-World's hand trails what it is told by some centimetres.
        np.testing.assert_allclose(moved, shown, atol=0.05 if name == "pushing" else 0.01)
        assert max(apertures) > 0.03
        assert min(apertures) < max(apertures) - 0.02
    finally:
        scene.close()


@pytest.mark.physics
@pytest.mark.parametrize("name", ["stacking", "pushing"])
def test_the_hand_is_where_the_task_says_it_is_mounted(name: str) -> None:
    """Steps along the gripper's axes, as the mount has them, move the hand along them."""
    if TASKS[name].needs == "tasks":
        pytest.importorskip("metaworld")
    task = TASKS[name]
    assert task.scene is not None
    scene = task.scene(task_settings(name, image_px=48), 3)
    forward = gripper_R_camera(task.robot.camera)[1]
    try:
        moved = sum(scene.act(0.01 * forward, closed=False) for _ in range(3))
        assert isinstance(moved, np.ndarray)
        assert moved @ forward > 0.015
        assert np.linalg.norm(moved - (moved @ forward) * forward) < 0.01
    finally:
        scene.close()


def open_loop_policy(root: Path, side_px: int = 48) -> Path:
    """A control that never moves."""
    for number in range(2):
        meta = DemonstrationMeta(
            name=f"d{number}",
            task="stacking",
            camera=CameraInfo(name="w", width_px=side_px, height_px=side_px),
            action_scale=ActionScale.METRIC,
        )
        frames = [np.full((side_px, side_px, 3), 40 * number, np.uint8)] * 2
        write_demonstration(root / "demos", meta, frames, np.zeros((2, 3)), np.zeros(2, np.int8))
    dataset = Dataset.open(root / "demos")
    return OPEN_LOOP.build(BuildRequest(dataset, root / "policy"))


@pytest.mark.physics
def test_the_command_counts_a_policy_that_does_nothing(tmp_path: Path) -> None:
    policy, out = open_loop_policy(tmp_path), tmp_path / "out.json"
    rollout = tmp_path / "rollout.yaml"
    rollout.write_text("max_steps: 2\n")
    command = ["eval", "closed-loop", "--policy", str(policy), "--task", "stacking"]
    options = ["--trials", "2", "--rollout", str(rollout), "--out", str(out)]
    assert run([*command, *options]) == 0
    found = json.loads(out.read_text())
    assert (found["done"]["successes"], found["done"]["trials"]) == (0, 2)
    assert found["reasons"] == {"STEP_LIMIT": 2}
    assert found["settings"]["task"] == "stacking"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--task", "juggling"], "juggling"),
        (["--task", "stacking", "--difficulty", "hard"], "--difficulty"),
        (["--task", "stacking", "--cabinets", "oak"], "--cabinets"),
        (["--task", "stacking", "--trials", "0"], "trials = 0"),
    ],
)
def test_what_a_task_does_not_have_is_refused(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = open_loop_policy(tmp_path)
    assert run(["eval", "closed-loop", "--policy", str(policy), *options]) == 2
    assert said in capsys.readouterr().err


def test_rows_compare_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    def trials(done: list[bool], attempts: int = 1) -> dict[str, Any]:
        return {
            "trials": [
                TaskTrial(i, 100 + i, d, ReasonCode.SUCCESS, 5, attempts).as_json()
                for i, d in enumerate(done)
            ]
        }

    units = {
        ("stacking", "grasp-point"): trials([True, True, True, False], attempts=2),
        ("stacking", "vinn-plus"): trials([True, False, False, False]),
        ("pushing", "grasp-point"): {"refused": "no grasp point: of 2 demonstrations"},
        ("pushing", "vinn-plus"): trials([True] * 4),
    }

    class Measured:
        """Finds the units above."""

        def task_dir(self, data: Any) -> str:
            return str(data.name)

        def measured_unit(self, folder: str, name: str) -> dict[str, Any] | None:
            return units.get((folder, name.removeprefix("closed-loop-").removesuffix("-4")))

    class Named:
        """A task that has a name."""

        def __init__(self, name: str) -> None:
            self.name = name

    tasks: Any = [Named("stacking"), Named("pushing")]
    workspace: Any = Measured()
    rows = {row.name: row for row in task_tables.task_results(tasks, workspace, 4, "c").rows}
    assert rows["stacking: Grasp point"].value == 75.0
    assert "at the first attempt 0 / 4" in rows["stacking: Grasp point"].unit
    assert rows["stacking: Grasp point minus VINN-plus"].value == 50.0
    assert "2 against 0 of 4" in rows["stacking: Grasp point minus VINN-plus"].unit
    assert rows["pushing: Grasp point"].value == "no policy"
    assert "no grasp point" in rows["pushing: Grasp point"].unit
    assert "pushing: Grasp point minus VINN-plus" not in rows
