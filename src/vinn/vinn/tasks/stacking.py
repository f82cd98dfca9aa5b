"""Stacking with Stretch: grasp the near block and set it on the far one.

As in the paper's data (section IV-A) the near block always goes on the far one, and blocks and
backgrounds are diverse: sizes, colours, table, wall and light are redrawn for every episode. The
gripper points along the arm: right, forward and up are base -x, arm and lift.
"""

from __future__ import annotations

import os

os.environ.setdefault("MUJOCO_GL", "egl")

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import GripperState
from vinn.robot.config import StartPose, ToolProfile
from vinn.robot.kinematics import base_T_gripper
from vinn.sim.rendering import SceneRenderer
from vinn.sim.stretch_model import (
    ARM_JOINTS,
    FINGER_JOINTS,
    GRASP_CENTER,
    JOINTS,
    WRIST_CAMERA,
    WristCamera,
    add_stretch,
    aperture_to_finger_rad,
)
from vinn.sim.textures import SURFACES, photo, tinted
from vinn.tasks.types import Episode, TaskSettings

START = StartPose(arm_m=0.05)
OPEN_M, CLOSED_M = 0.09, -0.05
SETTLE_STEPS = 300
"""Simulator steps of 2 ms per action."""
STEP_LIMIT = 100
BEFORE_BLOCK_M = 0.07
"""In front of the block the gripper must be level with it before it goes on."""
ARRIVED_M = 0.008
CLEARANCE_M = 0.02
TOUCH_M = 0.002
RETREAT_M = 0.06
BLOCK_CONTACTS = {"contype": 4, "conaffinity": 5}
"""Blocks touch each other, the table (4) and the finger pads (1)."""
AXES = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
"""Columns: gripper right, forward and up in the world."""


@dataclass(frozen=True)
class Blocks:
    """Two upright blocks. Half sizes and centres [m], near one first."""

    half_m: NDArray[np.float64]
    center_m: NDArray[np.float64]


class StackingRecorder:
    """Builds a scene per episode and runs the scripted expert in it."""

    def __init__(self, settings: TaskSettings) -> None:
        self._side_px = settings.image_px

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the block did not end on the other one."""
        world = _World(seed, self._side_px)
        try:
            return world.run()
        finally:
            world.close()

    def close(self) -> None:
        """Nothing stays open between episodes."""


class _World:
    """One scene and one episode."""

    def __init__(self, seed: int, side_px: int) -> None:
        self._rng = np.random.default_rng([seed, 0x57AC])
        self._side_px = side_px
        start = base_T_gripper(
            START.lift_m,
            START.arm_m,
            START.wrist_yaw_rad,
            START.wrist_pitch_rad,
            START.wrist_roll_rad,
            ToolProfile().geometry,
        )[:3, 3]
        self.blocks = self._draw_blocks(start)
        self.model = self._build()
        self.data = mujoco.MjData(self.model)
        self._renderer = SceneRenderer(self.model)
        self._goal = np.zeros(len(JOINTS))
        self._goal[JOINTS.index("joint_lift")] = START.lift_m
        for name in ARM_JOINTS:
            self._goal[JOINTS.index(name)] = START.arm_m / len(ARM_JOINTS)
        for axis in ("yaw", "pitch", "roll"):
            value = getattr(START, f"wrist_{axis}_rad")
            self._goal[JOINTS.index(f"joint_wrist_{axis}")] = value
        self._grip(OPEN_M)
        joints = [self.model.joint(name).qposadr[0] for name in JOINTS]
        self.data.qpos[joints] = self._goal
        self._step_m = float(self._rng.uniform(0.012, 0.03))
        self._frames: list[NDArray[np.uint8]] = []
        self._deltas: list[NDArray[np.float64]] = []
        self._states: list[int] = []
        self._settle()

    def close(self) -> None:
        self._renderer.close()

    def run(self) -> Episode | None:
        """Approach, grasp, lift, carry, lower, release, retreat."""
        half = self.blocks.half_m
        # Fingers level with the block and aside of it, then forward around it.
        self._go_to(lambda: self._near() - BEFORE_BLOCK_M * AXES[:, 1], GripperState.OPEN)
        self._go_to(self._near, GripperState.ALMOST_OPEN)
        for state in (GripperState.ALMOST_CLOSED, GripperState.CLOSED):
            self._act(np.zeros(3), state)
        grip = self._center() - self._near()
        far = self._position("far")
        up = AXES[:, 2]
        on_top = far + (half[0, 2] + half[1, 2]) * up + grip
        above = on_top + CLEARANCE_M * up
        here = self._center()
        self._go_to(lambda: np.array([here[0], here[1], above[2]]), GripperState.CLOSED)
        self._go_to(lambda: above, GripperState.CLOSED)
        self._go_to(lambda: on_top + TOUCH_M * up, GripperState.CLOSED)
        for state in (GripperState.ALMOST_OPEN, GripperState.OPEN):
            self._act(np.zeros(3), state)
        back = self._center() - RETREAT_M * AXES[:, 1]
        self._go_to(lambda: back, GripperState.OPEN)
        offset = self._near() - self._position("far")
        stacked = abs(offset[2] - half[:, 2].sum()) < 0.01 and np.hypot(*offset[:2]) < 0.025
        if not stacked or len(self._frames) >= STEP_LIMIT:
            return None
        return Episode(
            tuple(self._frames),
            np.array(self._deltas, np.float32),
            np.array(self._states, np.int8),
            fovy_rad=WristCamera().fovy_rad,
        )

    def _go_to(self, target: Callable[[], NDArray[np.float64]], state: GripperState) -> None:
        """Steps of at most this episode's step length until the grasp centre is at `target()`."""
        while len(self._frames) < STEP_LIMIT:
            delta = target() - self._center()
            length = float(np.linalg.norm(delta))
            if length < ARRIVED_M:
                return
            self._act(delta * min(1.0, self._step_m / length), state)

    def _act(self, world_delta_m: NDArray[np.float64], state: GripperState) -> None:
        image = self._renderer.render(self.data, WRIST_CAMERA, self._side_px, self._side_px)
        noise = self._rng.normal(0, 3, image.shape)
        self._frames.append(np.clip(image + noise, 0, 255).astype(np.uint8))
        camera = np.array(self.data.cam(WRIST_CAMERA).xmat).reshape(3, 3)
        world_R_camera = camera @ np.diag([1.0, -1.0, -1.0])
        self._deltas.append(world_R_camera.T @ world_delta_m)
        self._states.append(int(state))
        right, forward, up = AXES.T @ world_delta_m
        self._goal[JOINTS.index("base_x")] -= right
        self._goal[JOINTS.index("joint_lift")] += up
        for name in ARM_JOINTS:
            self._goal[JOINTS.index(name)] += forward / len(ARM_JOINTS)
        self._grip(CLOSED_M if state >= GripperState.ALMOST_CLOSED else OPEN_M)
        self._settle()

    def _settle(self) -> None:
        begin = self.data.ctrl.copy() if self.data.time > 0 else self._goal.copy()
        ramp = SETTLE_STEPS // 2
        for step in range(1, ramp + 1):
            # Targets move at a robot's pace: a jump would throw the block.
            self.data.ctrl[:] = begin + (self._goal - begin) * step / ramp
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_step(self.model, self.data, SETTLE_STEPS - ramp)

    def _grip(self, aperture_m: float) -> None:
        for name in FINGER_JOINTS:
            self._goal[JOINTS.index(name)] = aperture_to_finger_rad(aperture_m)

    def _center(self) -> NDArray[np.float64]:
        return np.array(self.data.body(GRASP_CENTER).xpos)

    def _near(self) -> NDArray[np.float64]:
        return self._position("near")

    def _position(self, block: str) -> NDArray[np.float64]:
        return np.array(self.data.body(block).xpos)

    def _draw_blocks(self, start_m: NDArray[np.float64]) -> Blocks:
        rng = self._rng
        half = np.array(
            [
                [rng.uniform(0.015, 0.024), rng.uniform(0.015, 0.024), rng.uniform(0.022, 0.032)],
                [rng.uniform(0.022, 0.032), rng.uniform(0.022, 0.032), rng.uniform(0.022, 0.032)],
            ]
        )
        down = rng.uniform(0.03, 0.09)
        near = start_m + AXES @ [rng.uniform(-0.1, 0.1), rng.uniform(0.1, 0.2), -down]
        far = near + AXES @ [rng.uniform(-0.09, 0.09), rng.uniform(0.12, 0.2), 0.0]
        table_z = near[2] - half[0, 2]
        far[2] = table_z + half[1, 2]
        return Blocks(half, np.array([near, far]))

    def _build(self) -> mujoco.MjModel:
        rng, blocks = self._rng, self.blocks
        spec = mujoco.MjSpec()
        spec.option.timestep = 0.002
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        spec.option.impratio = 10.0
        spec.visual.map.znear = 0.01
        spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
        add_stretch(spec, WristCamera(width_px=self._side_px, height_px=self._side_px))
        surface = str(rng.choice(SURFACES))
        image = tinted(photo(surface), tuple(rng.uniform(0.25, 0.9, 3)))
        texture = spec.add_texture(
            name="table",
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            width=image.shape[1],
            height=image.shape[0],
            nchannel=3,
        )
        texture.data = np.ascontiguousarray(image[::-1]).tobytes()
        material = spec.add_material(name="table", texuniform=True, texrepeat=[2.0, 2.0])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "table"
        table_z = blocks.center_m[0, 2] - blocks.half_m[0, 2]
        middle = blocks.center_m.mean(axis=0)
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[middle[0], middle[1] - 0.2, table_z - 0.02],
            size=[0.6, 0.5, 0.02],
            material="table",
            contype=4,
            conaffinity=0,
        )
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[middle[0], middle[1] - 0.75, table_z],
            size=[2.0, 0.02, 2.0],
            rgba=[*rng.uniform(0.3, 0.9, 3), 1],
            contype=0,
            conaffinity=0,
        )
        spec.worldbody.add_light(
            pos=middle + np.array([*rng.uniform(-1, 1, 2), 2.0]),
            dir=[*rng.uniform(-0.3, 0.3, 2), -1.0],
            diffuse=[rng.uniform(0.3, 0.6)] * 3,
            castshadow=False,
        )
        for name, half, center in zip(("near", "far"), blocks.half_m, blocks.center_m, strict=True):
            body = spec.worldbody.add_body(name=name, pos=center)
            body.add_freejoint()
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=half,
                rgba=[*rng.uniform(0.05, 0.95, 3), 1],
                mass=0.05,
                friction=[1.2, 0.02, 0.001],
                condim=4,
                **BLOCK_CONTACTS,
            )
        return spec.compile()
