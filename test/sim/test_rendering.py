"""What is left out of a picture for speed is not in it."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from vinn.sim.rendering import SceneRenderer
from vinn.sim.stretch_model import WRIST_CAMERA
from vinn.sim.world import DoorWorld

WIDTH_PX, HEIGHT_PX = 160, 96


@pytest.fixture(scope="module")
def world() -> Iterator[DoorWorld]:
    with DoorWorld() as world:
        yield world


def _plain(world: DoorWorld) -> mujoco.Renderer:
    """MuJoCo's own renderer: the largest buffer, every mesh."""
    renderer = mujoco.Renderer(world.model, HEIGHT_PX, WIDTH_PX)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
    return renderer


def _any_pose(world: DoorWorld, rng: np.random.Generator) -> None:
    model, data = world.model, world.data
    for joint in np.flatnonzero(model.jnt_limited):
        data.qpos[model.jnt_qposadr[joint]] = rng.uniform(*model.jnt_range[joint])
    mujoco.mj_forward(model, data)


def _any_view(world: DoorWorld, rng: np.random.Generator) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.azimuth, camera.elevation = rng.uniform(0, 360), rng.uniform(-60, 20)
    camera.distance = rng.uniform(0.05, 2.0)
    camera.lookat[:] = world.data.body(rng.integers(world.model.nbody)).xpos
    return camera


def test_pictures_are_those_of_mujocos_own_renderer(world: DoorWorld) -> None:
    rng = np.random.default_rng(0)
    plain, ours = _plain(world), SceneRenderer(world.model)
    drawn = []
    for number in range(40):
        _any_pose(world, rng)
        camera = WRIST_CAMERA if number % 2 else _any_view(world, rng)
        plain.update_scene(world.data, camera)
        image = ours.render(world.data, camera, WIDTH_PX, HEIGHT_PX)
        np.testing.assert_array_equal(image, plain.render())
        drawn.append(image.std())
    ours.close()
    plain.close()
    assert np.mean(np.array(drawn) > 1) > 0.9  # they show something
