"""Trials of tasks other than the door: the robot's rules around any scene, and real scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from line_task import LinePolicy, LineScene, line_task
from vinn.cli.main import run
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import ConfigError
from vinn.paper.grasp.detectors import UNIT_STEP_M
from vinn.paper.tasks.trials import ROLLOUT, TaskTrial, task_rates, task_trials
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.robot.config import RobotConfig
from vinn.robot.kinematics import gripper_R_camera
from vinn.robot.types import ReasonCode
from vinn.rollout.config import RolloutConfig
from vinn.tasks.registry import TASKS, task_settings
from vinn.tasks.types import Task, TaskSettings

SETTINGS = TaskSettings(task="line")


def done(
    policy: LinePolicy,
    task: Task,
    trials: int = 1,
    rollout: RolloutConfig = ROLLOUT,
    robot: RobotConfig | None = None,
) -> list[TaskTrial]:
    """Trials in this process."""
    return [job.run() for job in task_trials(policy, task, SETTINGS, trials, 0, rollout, robot)]


def test_what_closes_at_the_thing_is_done_at_the_first_attempt() -> None:
    scenes: list[LineScene] = []
    policy = LinePolicy(0.02, (0.1,))
    results = done(policy, line_task(scenes, 0.1), 3)
    assert [(r.success, r.attempts, r.first_attempt) for r in results] == [(True, 1, True)] * 3
    assert len({r.seed for r in results}) == 3
    assert all(scene.freed for scene in scenes)
    rate, first = task_rates(results)
    assert (rate.successes, first.successes) == (3, 3)


def test_a_closing_on_nothing_is_told_and_tried_again() -> None:
    policy = LinePolicy(0.02, (0.04, 0.1))
    (result,) = done(policy, line_task([], 0.1))
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
    (result,) = done(policy, line_task([], 0.5), robot=robot)
    assert (result.success, result.reason) == (False, ReasonCode.NO_GRASP)
    assert result.attempts == attempts


def test_a_refused_view_moves_nothing() -> None:
    scenes: list[LineScene] = []
    policy = LinePolicy(0.02, (0.1,), refusal=ReasonCode.NO_GRASP_POINT)
    (result,) = done(policy, line_task(scenes))
    assert (result.reason, result.steps) == (ReasonCode.NO_GRASP_POINT, 0)
    assert scenes[0].moves == []
    assert policy.taken == []


@pytest.mark.parametrize("step", [float("nan"), float("inf")])
def test_an_action_that_is_not_finite_moves_nothing(step: float) -> None:
    scenes: list[LineScene] = []
    (result,) = done(LinePolicy(step, (0.1,)), line_task(scenes))
    assert (result.reason, scenes[0].moves) == (ReasonCode.INVALID_INPUT, [])


def test_steps_are_scaled_and_no_longer_than_the_cap() -> None:
    scenes: list[LineScene] = []
    rollout = RolloutConfig(max_steps=3)
    unit = LinePolicy(1.0, (9.0,), ActionScale.UNIT)
    done(unit, line_task(scenes), rollout=rollout)
    assert scenes[-1].moves == pytest.approx([UNIT_STEP_M] * 3)
    long = LinePolicy(0.4, (9.0,))
    done(long, line_task(scenes), rollout=rollout)
    assert scenes[-1].moves == pytest.approx([RobotConfig().motion.step_cap_m] * 3)
    np.testing.assert_allclose(long.taken[0].sent_camera_delta_m[2], 0.05)


def test_what_does_not_fit_is_refused() -> None:
    policy = LinePolicy(0.02, (0.1,))
    with pytest.raises(ConfigError, match="trials = 0"):
        done(policy, line_task([]), 0)
    with pytest.raises(ConfigError, match="task door"):
        done(policy, TASKS["door"])
    robot = RobotConfig()
    motion = robot.motion.model_copy(update={"action_scale": ActionScale.UNIT})
    with pytest.raises(ConfigError, match="unit"):
        done(policy, line_task([]), robot=robot.model_copy(update={"motion": motion}))


@pytest.mark.physics
@pytest.mark.parametrize(
    "name", ["stacking", "pushing", "door-metaworld", "pick-place-v3", "drawer-open-v3"]
)
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
        exact = name in ("stacking", "door-metaworld")
        np.testing.assert_allclose(moved, shown, atol=0.01 if exact else 0.05)
        assert max(apertures) > 0.03
        if max(episode.gripper) >= 2:
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
    kept = tmp_path / "recordings"
    assert run([*command, *options, "--recordings", str(kept)]) == 0
    names = ["stacking-000", "stacking-001"]
    assert sorted(path.stem for path in kept.glob("*.mcap")) == names
    assert run(["report", "pages", str(kept), "--out", str(tmp_path / "pages")]) == 0
    assert {path.stem for path in (tmp_path / "pages").glob("*.html")} == {"index", *names}
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
