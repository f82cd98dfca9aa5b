"""The scene of stacking with Stretch: two upright blocks on a table.

As in the paper's data (section IV-A) the near block always goes on the far one, and blocks and
backgrounds are diverse: sizes, colours, table, wall and light are redrawn for every episode. The
gripper points along the arm: right, forward and up are base -x, arm and lift.
"""

from __future__ import annotations

import os

os.environ.setdefault("MUJOCO_GL", "egl")

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

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
    finger_rad_to_aperture,
)
from vinn.sim.textures import SURFACES, photo, tinted
from vinn.tasks.types import TaskSettings

START = StartPose(arm_m=0.05)
OPEN_M, CLOSED_M = 0.09, -0.05
OVERVIEW_PX = 240
SETTLE_STEPS = 300
"""Simulator steps of 2 ms per action."""
STACKED_ABOVE_M, STACKED_ASIDE_M = 0.01, 0.025
"""How exactly the block has to sit on the other one."""
BLOCK_CONTACTS = {"contype": 4, "conaffinity": 5}
"""Blocks touch each other, the table (4) and the finger pads (1)."""
AXES = np.array([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
"""Columns: gripper right, forward and up in the world."""


@dataclass(frozen=True)
class Blocks:
    """Two upright blocks. Half sizes and centres [m], near one first."""

    half_m: NDArray[np.float64]
    center_m: NDArray[np.float64]


class StackingScene:
    """One episode's scene, the robot at its start (`vinn.tasks.types.TaskScene`)."""

    def __init__(self, settings: TaskSettings, seed: int) -> None:
        side_px = settings.image_px
        self._rng = np.random.default_rng([seed, 0x57AC])
        self._side_px, self._closed = side_px, False
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
        self.step_m = float(self._rng.uniform(0.012, 0.03))
        """How long the expert's steps are in this episode."""
        self._settle()

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def wrist_image(self) -> NDArray[np.uint8]:
        """(side, side, 3) uint8 RGB, with the sensor's noise."""
        image = self._renderer.render(self.data, WRIST_CAMERA, self._side_px, self._side_px)
        noise = self._rng.normal(0, 3, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    def overview_image(self) -> NDArray[np.uint8]:
        """See `TaskScene.overview_image`."""
        camera = mujoco.MjvCamera()
        camera.lookat = self.blocks.center_m.mean(axis=0)
        camera.distance, camera.elevation, camera.azimuth = 0.9, -25.0, -40.0
        return self._renderer.render(self.data, camera, OVERVIEW_PX, OVERVIEW_PX)

    @property
    def world_R_camera(self) -> NDArray[np.float64]:
        """(3, 3) optical axes of the wrist camera."""
        camera = np.array(self.data.cam(WRIST_CAMERA).xmat).reshape(3, 3)
        return camera @ np.diag([1.0, -1.0, -1.0])

    @property
    def center_m(self) -> NDArray[np.float64]:
        """(3,) the point between the finger tips, in the world."""
        return np.array(self.data.body(GRASP_CENTER).xpos)

    @property
    def aperture_m(self) -> float:
        """Between the finger tips, measured."""
        rows = [self.model.joint(name).qposadr[0] for name in FINGER_JOINTS]
        return finger_rad_to_aperture(float(self.data.qpos[rows].mean()))

    @property
    def stacked(self) -> bool:
        """Whether the near block sits on the far one."""
        offset = self.position_m("near") - self.position_m("far")
        above = abs(offset[2] - self.blocks.half_m[:, 2].sum()) < STACKED_ABOVE_M
        return bool(above and np.hypot(*offset[:2]) < STACKED_ASIDE_M)

    @property
    def success(self) -> bool:
        """See `TaskScene.success`: stacked and let go."""
        return self.stacked and not self._closed

    def act(self, camera_delta_m: NDArray[np.float64], closed: bool) -> NDArray[np.float64]:
        """See `TaskScene.act`."""
        world_R_camera, before_m = self.world_R_camera, self.center_m
        self.move(world_R_camera @ camera_delta_m, closed)
        return np.asarray(world_R_camera.T @ (self.center_m - before_m))

    def move(self, world_delta_m: NDArray[np.float64], closed: bool) -> None:
        """Move the gripper by a translation, with the fingers closed or open, and let it settle."""
        self._closed = closed
        right, forward, up = AXES.T @ world_delta_m
        self._goal[JOINTS.index("base_x")] -= right
        self._goal[JOINTS.index("joint_lift")] += up
        for name in ARM_JOINTS:
            self._goal[JOINTS.index(name)] += forward / len(ARM_JOINTS)
        self._grip(CLOSED_M if closed else OPEN_M)
        self._settle()

    def position_m(self, block: str) -> NDArray[np.float64]:
        """(3,) where the block `near` or `far` is, in the world."""
        return np.array(self.data.body(block).xpos)

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
