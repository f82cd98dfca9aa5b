"""Any environment of Meta-World is a task by its name, and its episodes repeat."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
from vinn.cli.main import run
from vinn.errors import ConfigError
from vinn.robot.kinematics import gripper_R_camera
from vinn.tasks.metaworld_environments import ENVIRONMENTS, HOLDING
from vinn.tasks.registry import TASKS, task_named, task_settings
from vinn.tasks.types import Episode, TaskScene

SIDE_PX = 32
SOME = ("reach-v3", "button-press-v3", "push-v3", "pick-place-v3", "stick-pull-v3")


def episode(name: str, seed: int, **changes: object) -> Episode:
    settings = task_settings(name, **{"image_px": SIDE_PX, **changes})
    recorder = task_named(name).recorder(settings)
    shown = recorder.episode(seed)
    recorder.close()
    assert shown is not None
    return shown


def scene(name: str, seed: int, **changes: object) -> TaskScene:
    task = task_named(name)
    assert task.scene is not None
    return task.scene(task_settings(name, **{"image_px": SIDE_PX, **changes}), seed)


def test_the_names_are_those_of_the_simulator() -> None:
    policies = pytest.importorskip("metaworld.policies")
    assert sorted(ENVIRONMENTS) == sorted(policies.ENV_POLICY_MAP)
    assert set(ENVIRONMENTS) >= HOLDING
    assert all(name in TASKS and name not in list(TASKS) for name in ENVIRONMENTS)


def test_an_unknown_name_is_refused_with_those_of_meta_world(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigError, match=r"reach-v2.*reach-v3"):
        task_settings("reach-v2")
    assert run(["tasks", "list"]) == 0
    assert "stick-pull-v3" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.physics
@pytest.mark.parametrize("name", SOME)
def test_an_episode_does_not_depend_on_the_ones_before(name: str) -> None:
    """A compiled environment is used again; what another thread compiles anew says the same."""
    first = episode(name, 4)
    episode(name, 9)
    again: list[Episode] = [episode(name, 4)]
    other = threading.Thread(target=lambda: again.append(episode(name, 4)))
    other.start()
    other.join()
    assert len(again) == 2
    for shown in again:
        np.testing.assert_array_equal(np.array(first.frames_rgb), np.array(shown.frames_rgb))
        np.testing.assert_array_equal(first.camera_delta_m, shown.camera_delta_m)
        np.testing.assert_array_equal(first.gripper, shown.gripper)
        assert first.provenance == shown.provenance


@pytest.mark.physics
@pytest.mark.parametrize("name", ["push-v3", "reach-v3", "pick-place-v3"])
def test_the_first_picture_shows_the_goal_where_it_is(name: str) -> None:
    places = []
    for seed in (1, 2):
        room: Any = scene(name, seed)
        shown = np.array(room.data.site("goal").xpos)
        room.act(np.zeros(3), closed=False)
        np.testing.assert_allclose(shown, room.data.site("goal").xpos, atol=1e-3)
        places.append(shown)
        room.close()
    assert np.linalg.norm(places[1] - places[0]) > 0.005


@pytest.mark.physics
def test_two_scenes_at_a_time_are_two() -> None:
    alone = scene("reach-v3", 1)
    seen = alone.wrist_image().copy()
    other = scene("reach-v3", 2)
    other.act(np.array([0.0, 0.0, 0.02]), closed=False)
    np.testing.assert_array_equal(alone.wrist_image(), seen)
    assert not np.array_equal(other.wrist_image(), seen)
    alone.close()
    other.close()


@pytest.mark.physics
def test_pictures_of_several_cameras_stand_side_by_side() -> None:
    hand, corner = (episode("reach-v3", 3, camera=name) for name in ("gripperPOV", "corner2"))
    both = episode("reach-v3", 3, camera="gripperPOV+corner2")
    assert both.frames_rgb[0].shape == (SIDE_PX, 2 * SIDE_PX, 3)
    for picture, left, right in zip(
        both.frames_rgb, hand.frames_rgb, corner.frames_rgb, strict=True
    ):
        np.testing.assert_array_equal(picture, np.hstack([left, right]))
    np.testing.assert_array_equal(both.camera_delta_m, hand.camera_delta_m)
    assert (hand.fovy_rad, both.fovy_rad) != (None, None)
    assert both.fovy_rad is None


@pytest.mark.physics
@pytest.mark.parametrize("camera", ["corner2", "topview", "gripperPOV"])
def test_actions_are_in_the_axes_of_the_camera(camera: str) -> None:
    """The same motion, said in either camera's axes, is the same in the world."""
    reference, seen = episode("reach-v3", 5), episode("reach-v3", 5, camera=camera)
    lengths = [np.linalg.norm(shown.camera_delta_m, axis=1) for shown in (reference, seen)]
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-6)
    room = scene("reach-v3", 5, camera=camera)
    before = room.aperture_m
    moved = sum(room.act(np.asarray(d, np.float64), closed=False) for d in seen.camera_delta_m)
    assert room.success
    assert isinstance(moved, np.ndarray)
    assert room.aperture_m == pytest.approx(before, abs=0.03)
    # The hand trails what it is told.
    np.testing.assert_allclose(moved, seen.camera_delta_m.sum(axis=0), atol=0.05)
    room.close()


@pytest.mark.physics
def test_what_a_camera_must_be_is_said() -> None:
    for name in ("wrist", "corner2+", "corner2+nowhere"):
        with pytest.raises(ConfigError, match=r"allowed: topview, .*gripperPOV"):
            scene("reach-v3", 0, camera=name)
    # The environment that was refused a camera is as good as before.
    scene("reach-v3", 0).close()


@pytest.mark.physics
@pytest.mark.parametrize("stride", [1, 4])
def test_frames_after_success_and_clipped_actions(stride: int) -> None:
    short, long = (
        episode("button-press-v3", 2, frame_stride=stride, frames_after_success=more)
        for more in (0, 3)
    )
    # The frame in which it was done is completed, so that every action counts as many steps.
    assert len(long.frames_rgb) - len(short.frames_rgb) == 3
    np.testing.assert_array_equal(
        long.camera_delta_m[: len(short.gripper) - 1], short.camera_delta_m[:-1]
    )
    steps = short.provenance["simulator_steps"]
    assert 0 < short.provenance["clipped_steps"] <= steps
    assert len(short.frames_rgb) == -(-steps // stride)
    # What was clipped is what is recorded: no more than the simulator grants.
    assert np.abs(long.camera_delta_m).max() <= stride * 0.01 * np.sqrt(3) + 1e-6


def test_only_hands_that_hold_something_open_when_empty() -> None:
    rules = {name: task_named(name).robot.gripper.empty.enabled for name in ENVIRONMENTS}
    assert rules["pick-place-v3"] and rules["push-v3"]
    assert not rules["door-open-v3"] and not rules["button-press-v3"]
    pushing, environment = TASKS["pushing"], task_named("push-v3")
    assert pushing.robot == environment.robot
    assert dataclasses.replace(pushing).name == "pushing"
    assert gripper_R_camera(pushing.robot.camera).shape == (3, 3)
