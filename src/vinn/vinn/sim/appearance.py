"""What the view of an episode looks like: light, colours, camera, backgrounds and clutter."""

from __future__ import annotations

import mujoco
import numpy as np

from vinn.sim.scene import SceneConfig
from vinn.sim.scene_model import (
    DISTRACTOR_SLOTS,
    DISTRACTOR_SLOTS_ON_DOOR,
    FLOOR_GEOM,
    LIGHTS,
    WALL_GEOM,
)
from vinn.sim.stretch_model import WRIST_CAMERA
from vinn.sim.textures import PHOTOS, SURFACES


class SceneAppearance:
    """Redraws a compiled model's appearance within the ranges of the difficulty."""

    def __init__(self, model: mujoco.MjModel, scene: SceneConfig) -> None:
        self._model = model
        self._difficulty = scene.difficulty
        self._cabinet = scene.cabinet
        self._camera = model.camera(WRIST_CAMERA).id
        self._lights = [model.light(name).id for name in LIGHTS]
        # As compiled: every redraw starts from here.
        self._light_diffuse = model.light_diffuse.copy()
        self._light_dir = model.light_dir.copy()
        self._geom_pos = model.geom_pos.copy()
        self._geom_rgba = model.geom_rgba.copy()
        self._mat_rgba = model.mat_rgba.copy()
        self._cam_pos = model.cam_pos.copy()
        self._cam_quat = model.cam_quat.copy()
        self._ambient = np.array(model.vis.headlight.ambient)

    def redraw(self, rng: np.random.Generator) -> None:
        """Draw a new appearance; draws happen whatever the difficulty, so seeds stay comparable."""
        self._redraw_lights(rng)
        self._redraw_colors(rng)
        self._redraw_camera(rng)
        self._redraw_background(rng)
        self._redraw_distractors(rng)

    def _redraw_lights(self, rng: np.random.Generator) -> None:
        jitter = self._difficulty.light_jitter
        for light in self._lights:
            strength = 1.0 + jitter * rng.uniform(-1.0, 1.0)
            tint = 1.0 + 0.25 * jitter * rng.uniform(-1.0, 1.0, 3)
            self._model.light_diffuse[light] = self._light_diffuse[light] * strength * tint
            direction = self._light_dir[light] + 0.5 * jitter * rng.uniform(-1.0, 1.0, 3)
            self._model.light_dir[light] = direction / np.linalg.norm(direction)
        ambient = 1.0 + 0.5 * jitter * rng.uniform(-1.0, 1.0)
        self._model.vis.headlight.ambient[:] = self._ambient * ambient

    def _redraw_colors(self, rng: np.random.Generator) -> None:
        jitter = self._difficulty.color_jitter
        for original, current in (
            (self._geom_rgba, self._model.geom_rgba),
            (self._mat_rgba, self._model.mat_rgba),
        ):
            factor = 1.0 + jitter * rng.uniform(-1.0, 1.0, (len(original), 3))
            current[:, :3] = np.clip(original[:, :3] * factor, 0.0, 1.0)

    def _redraw_camera(self, rng: np.random.Generator) -> None:
        difficulty = self._difficulty
        shift = difficulty.camera_jitter_m * rng.uniform(-1.0, 1.0, 3)
        turn = difficulty.camera_jitter_rad * rng.uniform(-1.0, 1.0, 3)
        self._model.cam_pos[self._camera] = self._cam_pos[self._camera] + shift
        quaternion = self._cam_quat[self._camera].copy()
        mujoco.mju_quatIntegrate(quaternion, turn, 1.0)
        self._model.cam_quat[self._camera] = quaternion

    def _redraw_background(self, rng: np.random.Generator) -> None:
        surface, wall_rgb = SURFACES[rng.integers(len(SURFACES))], rng.uniform(0.3, 0.9, 3)
        if not self._difficulty.varied_background:
            return
        self._model.geom(FLOOR_GEOM).matid = self._model.material(f"surface_{surface}").id
        self._model.geom(WALL_GEOM).rgba[:3] = wall_rgb

    def _redraw_distractors(self, rng: np.random.Generator) -> None:
        if not self._difficulty.distractors:
            return
        shown = rng.permutation(DISTRACTOR_SLOTS)[: self._difficulty.distractors]
        for slot in range(DISTRACTOR_SLOTS):
            geom = self._model.geom(f"distractor_{slot}")
            along, up = self._distractor_place(rng, slot in DISTRACTOR_SLOTS_ON_DOOR)
            origin = self._geom_pos[geom.id]
            geom.pos[0], geom.pos[2] = origin[0] + along, origin[2] + up
            geom.size[:2] = rng.uniform(0.02, 0.06, 2)
            image = PHOTOS[rng.integers(len(PHOTOS))]
            geom.matid = self._model.material(f"photo_{image}").id
            geom.rgba[3] = 1.0 if slot in shown else 0.0

    def _distractor_place(self, rng: np.random.Generator, on_door: bool) -> tuple[float, float]:
        """Right of and above the handle [m]: on the door, or on the fixed front beside it."""
        to_hinge = 1.0 if self._cabinet.hinge_side == "right" else -1.0
        inset = self._cabinet.handle.inset_m
        up = rng.uniform(-0.2, 0.2)
        if on_door:
            return to_hinge * rng.uniform(0.08, self._cabinet.door_width_m - inset - 0.06), up
        return -to_hinge * rng.uniform(inset + 0.08, 0.4), up
