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
from numpy.typing import NDArray

from vinn.demos.types import GripperState
from vinn.tasks.types import Episode, TaskSettings

CAMERA = "gripperPOV"
METRES_PER_ACTION = 0.01
STEP_LIMIT = 300
OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's cameras look along -z with y up; an optical frame looks along z with y down."""
CLOSING_EFFORT, OPENING_EFFORT = 0.6, -1.0
"""Of the fingers, -1..1; closing as the expert of `push-v3` does."""
TOUCHING_PADS_M = 0.024
"""Between the centres of the finger pads when nothing is between them."""


class MetaWorldScene:
    """One episode of an environment (`vinn.tasks.types.TaskScene`)."""

    def __init__(self, environment: str, settings: TaskSettings, seed: int) -> None:
        self._stride = settings.frame_stride
        with warnings.catch_warnings():
            # The experts ask for more than the clip allows and say so at every step.
            warnings.simplefilter("ignore", UserWarning)
            # Meta-World's own annotations do not say how these classes are made.
            make: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{environment}-goal-observable"]
            self._environment = make(seed=seed)
        # Objects and goals from the environment's own seeded source, not NumPy's global one.
        self._environment._freeze_rand_vec = False
        self._environment.seeded_rand_vec = True
        self._environment.seed(seed)
        self.observation, _ = self._environment.reset()
        self.model, self.data = self._environment.model, self._environment.data
        self.success = False
        if not settings.goal_visible:
            self.model.site("goal").rgba[3] = 0.0
        self._renderer = mujoco.Renderer(self.model, settings.image_px, settings.image_px)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    @property
    def aperture_m(self) -> float:
        """See `TaskScene.aperture_m`."""
        left, right = (np.array(self.data.body(name).xpos) for name in ("leftpad", "rightpad"))
        return float(np.linalg.norm(left - right)) - TOUCHING_PADS_M

    def wrist_image(self) -> NDArray[np.uint8]:
        """See `TaskScene.wrist_image`."""
        self._renderer.update_scene(self.data, CAMERA)
        return np.asarray(self._renderer.render())

    def act(self, camera_delta_m: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
        """See `TaskScene.act`; as many simulator steps as a demonstrated frame has."""
        world_R_camera = self.world_R_camera
        before_m = np.array(self._environment.tcp_center)
        part = world_R_camera @ camera_delta_m / (self._stride * METRES_PER_ACTION)
        effort = CLOSING_EFFORT if closed else OPENING_EFFORT
        for _ in range(self._stride):
            self.step(np.append(np.clip(part, -1.0, 1.0), effort))
        moved_m = np.array(self._environment.tcp_center) - before_m
        return np.asarray(world_R_camera.T @ moved_m)

    def step(self, action: NDArray[np.float64]) -> None:
        """One simulator step of an action (4,) as Meta-World has it."""
        self.observation, _, _, _, info = self._environment.step(action)
        self.success = self.success or bool(info["success"])

    @property
    def world_R_camera(self) -> NDArray[np.float64]:
        """(3, 3) optical axes of the camera."""
        return np.array(self.data.cam(CAMERA).xmat).reshape(3, 3) @ OPTICAL_FROM_MUJOCO

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


class MetaWorldRecorder:
    """Runs one Meta-World environment with its scripted expert."""

    def __init__(self, environment: str, settings: TaskSettings) -> None:
        self._environment = environment
        self._settings = settings

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the expert failed within `STEP_LIMIT` simulator steps."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            scene = MetaWorldScene(self._environment, self._settings, seed)
            try:
                return self._shown(scene)
            finally:
                scene.close()

    def _shown(self, scene: MetaWorldScene) -> Episode | None:
        make_expert: Any = ENV_POLICY_MAP[self._environment]
        expert = make_expert()
        frames, deltas, gripper = [], [], []
        for step in range(STEP_LIMIT):
            action = np.clip(expert.get_action(scene.observation), -1.0, 1.0)
            if step % self._settings.frame_stride == 0:
                frames.append(scene.wrist_image())
                deltas.append(np.zeros(3))
                gripper.append(GripperState.OPEN)
            deltas[-1] += METRES_PER_ACTION * (scene.world_R_camera.T @ action[:3])
            # The fingers close for any positive effort and open for none.
            gripper[-1] = GripperState.CLOSED if action[3] > 0 else GripperState.OPEN
            scene.step(action)
            if scene.success:
                fovy_deg = float(scene.model.cam_fovy[scene.model.camera(CAMERA).id])
                return Episode(
                    tuple(frames),
                    np.array(deltas, np.float32),
                    np.array(gripper, np.int8),
                    {"environment": self._environment},
                    math.radians(fovy_deg),
                )
        return None

    def close(self) -> None:
        """Nothing stays open between episodes."""
