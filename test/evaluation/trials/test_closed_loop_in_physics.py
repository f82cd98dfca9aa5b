"""The scale of an action, and the picture of covered cabinets."""

from __future__ import annotations

import numpy as np
import pytest
from vinn.demos.frames import decode_jpeg
from vinn.demos.types import ActionScale
from vinn.evaluation.trials import run_trial
from vinn.paper.closed_loop.output import occlusion_figure
from vinn.paper.closed_loop.run import robot_for
from vinn.policies.types import Prediction
from vinn.rollout.config import RolloutConfig
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.world import DoorWorld


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
    image = decode_jpeg(occlusion_figure("hard", cabinets=("white",)), "figure")
    height, width = image.shape[:2]
    level = width // len(Occlusion)
    assert level == height + height * 4 // 3
    parts = [image[:, i * level : (i + 1) * level].astype(int) for i in range(len(Occlusion))]
    changed = [(np.abs(part - parts[0]) > 60).any(axis=-1).mean() for part in parts]
    assert changed[0] == 0
    assert 0.01 < changed[1] < changed[2] < changed[3] < 0.5
