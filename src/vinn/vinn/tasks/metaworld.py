"""Meta-World tasks, seen by the camera on the gripper and shown by Meta-World's own experts.

Meta-World's actions are translations of the hand in the world, each component clipped to [-1, 1],
in hundredths of a metre. The hand never turns, so a constant rotation gives the camera's frame.
"""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from metaworld.policies import ENV_POLICY_MAP

from vinn.demos.types import GripperState
from vinn.tasks.types import Episode, TaskSettings

CAMERA = "gripperPOV"
METRES_PER_ACTION = 0.01
STEP_LIMIT = 300
OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's cameras look along -z with y up; an optical frame looks along z with y down."""


class MetaWorldRecorder:
    """Runs one Meta-World environment with its scripted expert."""

    def __init__(self, environment: str, settings: TaskSettings) -> None:
        self._environment = environment
        self._settings = settings

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the expert failed within `STEP_LIMIT` simulator steps."""
        settings = self._settings
        with warnings.catch_warnings():
            # The experts ask for more than the clip allows and say so at every step.
            warnings.simplefilter("ignore", UserWarning)
            name = f"{self._environment}-goal-observable"
            # Meta-World's own annotations do not say how these classes are made.
            make: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[name]
            environment = make(seed=seed)
            # Objects and goals from the environment's own seeded source, not NumPy's global one.
            environment._freeze_rand_vec = False
            environment.seeded_rand_vec = True
            environment.seed(seed)
            make_expert: Any = ENV_POLICY_MAP[self._environment]
            expert = make_expert()
            observation, _ = environment.reset()
            model, data = environment.model, environment.data
            if not settings.goal_visible:
                model.site("goal").rgba[3] = 0.0
            renderer = mujoco.Renderer(model, settings.image_px, settings.image_px)
            try:
                renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
                renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
                frames, deltas, gripper = [], [], []
                for step in range(STEP_LIMIT):
                    action = np.clip(expert.get_action(observation), -1.0, 1.0)
                    if step % settings.frame_stride == 0:
                        renderer.update_scene(data, CAMERA)
                        frames.append(renderer.render())
                        deltas.append(np.zeros(3))
                        gripper.append(GripperState.OPEN)
                    deltas[-1] += METRES_PER_ACTION * self._in_camera(data, action[:3])
                    # The fingers close for any positive effort and open for none.
                    gripper[-1] = GripperState.CLOSED if action[3] > 0 else GripperState.OPEN
                    observation, _, _, _, info = environment.step(action)
                    if info["success"]:
                        return Episode(
                            tuple(frames),
                            np.array(deltas, np.float32),
                            np.array(gripper, np.int8),
                            {"environment": self._environment},
                            math.radians(float(model.cam_fovy[model.camera(CAMERA).id])),
                        )
                return None
            finally:
                renderer.close()

    def close(self) -> None:
        """Nothing stays open between episodes."""

    @staticmethod
    def _in_camera(data: mujoco.MjData, world: np.ndarray) -> np.ndarray:
        world_R_camera = np.array(data.cam(CAMERA).xmat).reshape(3, 3) @ OPTICAL_FROM_MUJOCO
        rotated: np.ndarray = world_R_camera.T @ world
        return rotated


def push(settings: TaskSettings) -> MetaWorldRecorder:
    """Push the puck to the goal."""
    return MetaWorldRecorder("push-v3", settings)


def door_open(settings: TaskSettings) -> MetaWorldRecorder:
    """Open the safe's door by its handle."""
    return MetaWorldRecorder("door-open-v3", settings)
