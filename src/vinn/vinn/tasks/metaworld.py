"""Meta-World tasks, seen by one or more of its cameras and shown by Meta-World's own experts.

Meta-World's actions are translations of the hand in the world, each component clipped to [-1, 1],
in hundredths of a metre. The hand never turns, so a constant rotation gives the frame of the camera
on the gripper, and of every camera that stands still.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from vinn.demos.types import GripperState
from vinn.errors import ConfigError
from vinn.sim.rendering import SceneRenderer
from vinn.tasks.types import CAMERA_SEPARATOR, Episode, TaskSettings

METRES_PER_ACTION = 0.01
STEP_LIMIT = 300
ONLOOKER, OVERVIEW_PX = "corner3", 240
OPTICAL_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's cameras look along -z with y up; an optical frame looks along z with y down."""
CLOSING_EFFORT, OPENING_EFFORT = 0.6, -1.0
"""Of the fingers, -1..1; closing as the expert of `push-v3` does."""
TOUCHING_PADS_M = 0.024
"""Between the centres of the finger pads when nothing is between them."""


class _Simulator:
    """A compiled environment. To compile one takes longer than a trial, so it is used again."""

    def __init__(self, environment: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            # Meta-World's own annotations do not say how these classes are made.
            make: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{environment}-goal-observable"]
            self.environment = make(seed=0)
        # Objects and goals from the environment's own seeded source, not NumPy's global one.
        self.environment._freeze_rand_vec = False
        self.environment.seeded_rand_vec = True
        # How long a trial may be is for the rollout's limits to say.
        self.environment.max_path_length = sys.maxsize
        self.model, self.data = self.environment.model, self.environment.data
        self.renderer = SceneRenderer(self.model)
        self._goal_alpha = self.model.site("goal").rgba[3] if self._has_goal() else 1.0

    def reset(self, seed: int, goal_visible: bool) -> NDArray[np.float64]:
        """Begin the episode of a seed, as if newly compiled; the expert's observation."""
        if self._has_goal():
            self.model.site("goal").rgba[3] = self._goal_alpha if goal_visible else 0.0
        self.environment.seed(seed)
        observation, _ = self.environment.reset()
        # Environments move their goals last, and draw them there from the first step on only
        # (findings/metaworld_first_picture_shows_another_goal.sh).
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        for name, place_m in self.environment._target_site_config:
            self.environment._set_pos_site(name, place_m)
        return np.asarray(observation)

    def _has_goal(self) -> bool:
        return "goal" in {self.model.site(i).name for i in range(self.model.nsite)}


class _Kept(threading.local):
    """The simulator that this thread used last: OpenGL contexts belong to threads."""

    environment: str = ""
    simulator: _Simulator | None = None

    def take(self, environment: str) -> _Simulator:
        """The one kept, or a new one; nobody else gets it before `give`."""
        kept, self.simulator = self.simulator, None
        if kept is not None and self.environment == environment:
            return kept
        if kept is not None:
            kept.renderer.close()
        return _Simulator(environment)

    def give(self, environment: str, simulator: _Simulator) -> None:
        """Keep it for the next episode."""
        if self.simulator is not None:
            self.simulator.renderer.close()
        self.environment, self.simulator = environment, simulator


_kept = _Kept()


class MetaWorldScene:
    """One episode of an environment (`vinn.tasks.types.TaskScene`)."""

    def __init__(self, environment: str, settings: TaskSettings, seed: int) -> None:
        self._name, self._stride = environment, settings.frame_stride
        self._side_px = settings.image_px
        self._cameras = settings.camera.split(CAMERA_SEPARATOR)
        self._simulator = _kept.take(environment)
        self.model, self.data = self._simulator.model, self._simulator.data
        known = [self.model.camera(i).name for i in range(self.model.ncam)]
        for camera in self._cameras:
            if camera not in known:
                self.close()
                raise ConfigError(
                    f"camera = '{settings.camera}': '{camera}' is unknown; allowed: "
                    f"{', '.join(known)}, or several with {CAMERA_SEPARATOR} between"
                )
        self.observation = self._simulator.reset(seed, settings.goal_visible)
        self.success = False

    @property
    def aperture_m(self) -> float:
        """See `TaskScene.aperture_m`."""
        left, right = (np.array(self.data.body(name).xpos) for name in ("leftpad", "rightpad"))
        return float(np.linalg.norm(left - right)) - TOUCHING_PADS_M

    def wrist_image(self) -> NDArray[np.uint8]:
        """See `TaskScene.wrist_image`; pictures of several cameras stand side by side."""
        side_px, render = self._side_px, self._simulator.renderer.render
        return np.hstack([render(self.data, name, side_px, side_px) for name in self._cameras])

    def overview_image(self) -> NDArray[np.uint8]:
        """See `TaskScene.overview_image`."""
        return self._simulator.renderer.render(self.data, ONLOOKER, OVERVIEW_PX, OVERVIEW_PX)

    def act(self, camera_delta_m: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
        """See `TaskScene.act`; as many simulator steps as a demonstrated frame has."""
        world_R_camera = self.world_R_camera
        before_m = np.array(self._simulator.environment.tcp_center)
        part = world_R_camera @ camera_delta_m / (self._stride * METRES_PER_ACTION)
        effort = CLOSING_EFFORT if closed else OPENING_EFFORT
        for _ in range(self._stride):
            self.step(np.append(np.clip(part, -1.0, 1.0), effort))
        moved_m = np.array(self._simulator.environment.tcp_center) - before_m
        return np.asarray(world_R_camera.T @ moved_m)

    def step(self, action: NDArray[np.float64]) -> None:
        """One simulator step of an action (4,) as Meta-World has it."""
        self.observation, _, _, _, info = self._simulator.environment.step(action)
        self.success = self.success or bool(info["success"])

    @property
    def world_R_camera(self) -> NDArray[np.float64]:
        """(3, 3) optical axes of the first camera."""
        return np.array(self.data.cam(self._cameras[0]).xmat).reshape(3, 3) @ OPTICAL_FROM_MUJOCO

    @property
    def fovy_rad(self) -> float | None:
        """Vertical field of view; None where several cameras share the picture."""
        if len(self._cameras) > 1:
            return None
        return math.radians(float(self.model.cam_fovy[self.model.camera(self._cameras[0]).id]))

    def close(self) -> None:
        """Leave the compiled environment to the next episode of this thread."""
        _kept.give(self._name, self._simulator)


class MetaWorldRecorder:
    """Runs one Meta-World environment with its scripted expert."""

    def __init__(self, environment: str, settings: TaskSettings) -> None:
        self._environment = environment
        self._settings = settings

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the expert failed within `STEP_LIMIT` simulator steps."""
        with warnings.catch_warnings():
            # The experts ask for more than the clip allows and say so at every step.
            warnings.simplefilter("ignore", UserWarning)
            scene = MetaWorldScene(self._environment, self._settings, seed)
            try:
                return self._shown(scene)
            finally:
                scene.close()

    def _shown(self, scene: MetaWorldScene) -> Episode | None:
        make_expert: Any = ENV_POLICY_MAP[self._environment]
        expert = make_expert()
        stride = self._settings.frame_stride
        frames, deltas, gripper = [], [], []
        step, end, clipped = 0, STEP_LIMIT, 0
        while step < end:
            asked = expert.get_action(scene.observation)
            action = np.clip(asked, -1.0, 1.0)
            clipped += bool((asked[:3] != action[:3]).any())
            if step % stride == 0:
                frames.append(scene.wrist_image())
                deltas.append(np.zeros(3))
                gripper.append(GripperState.OPEN)
            deltas[-1] += METRES_PER_ACTION * (scene.world_R_camera.T @ action[:3])
            # The fingers close for any positive effort and open for none.
            gripper[-1] = GripperState.CLOSED if action[3] > 0 else GripperState.OPEN
            already = scene.success
            scene.step(action)
            step += 1
            if scene.success and not already:
                end = step + stride * self._settings.frames_after_success
        if not scene.success:
            return None
        how = {
            "environment": self._environment,
            "camera": self._settings.camera,
            "simulator_steps": step,
            "clipped_steps": clipped,
        }
        return Episode(
            tuple(frames),
            np.array(deltas, np.float32),
            np.array(gripper, np.int8),
            how,
            scene.fovy_rad,
        )

    def close(self) -> None:
        """Nothing stays open between episodes."""
