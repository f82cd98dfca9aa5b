"""What the view of an episode looks like: light, colours, camera, backgrounds and clutter."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.scene_model import (
    CABINET_BODY,
    DISTRACTOR_SLOTS,
    DISTRACTOR_SLOTS_ON_DOOR,
    DOOR_GEOM,
    FLOOR_GEOM,
    FRONT_GEOMS,
    FRONT_LOOKS,
    HANDLE_GEOMS,
    LIGHTS,
    SIGN_GEOM,
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
        self._colors = _own_colors(model)
        self._scenery = _scenery(model)
        self._door = model.geom(DOOR_GEOM).id
        self._handle = [model.geom(name).id for name in HANDLE_GEOMS]
        covered = scene.occlusion is not Occlusion.NONE
        self._covered = [*self._handle, model.geom(SIGN_GEOM).id] if covered else []
        """What is wrapped in the door's material keeps the door's colour."""
        self._cam_pos = model.cam_pos.copy()
        self._cam_quat = model.cam_quat.copy()
        self._ambient = np.array(model.vis.headlight.ambient)

    def redraw(self, rng: np.random.Generator) -> None:
        """Draw a new appearance.

        Each aspect draws from a stream of its own, whatever the difficulty and however many geoms
        there are: the same seed looks the same but for what a scene covers.
        """
        streams = (np.random.default_rng(int(seed)) for seed in rng.integers(1 << 62, size=5))
        self._redraw_lights(next(streams))
        self._redraw_colors(next(streams))
        self._redraw_camera(next(streams))
        self._redraw_background(next(streams))
        self._redraw_distractors(next(streams))

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
        factor = 1.0 + jitter * rng.uniform(-1.0, 1.0, self._colors.shape)
        factor[self._handle] = factor[self._handle[0]]
        if jitter:
            colors = np.clip(self._colors * factor, 0.0, 1.0)
            colors[self._covered] = self._colors[self._covered] * colors[self._door]
            self._model.geom_rgba[self._scenery, :3] = colors[self._scenery]

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
        looks = rng.integers(len(FRONT_LOOKS), size=len(FRONT_GEOMS))
        shades = rng.uniform(0.25, 1.0, (len(FRONT_GEOMS), 1))
        paints = np.clip(shades * rng.uniform(0.75, 1.25, (len(FRONT_GEOMS), 3)), 0.0, 1.0)
        if not self._difficulty.varied_background:
            return
        model = self._model
        model.geom(FLOOR_GEOM).matid = model.material(f"surface_{surface}").id
        model.geom(WALL_GEOM).rgba[:3] = wall_rgb
        for name, look, paint in zip(FRONT_GEOMS, looks, paints, strict=True):
            material = FRONT_LOOKS[look]
            model.geom(name).matid = -1 if material is None else model.material(material).id
            model.geom(name).rgba[:3] = paint

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


def _own_colors(model: mujoco.MjModel) -> NDArray[np.float32]:
    """(geoms, 3) what each geom is drawn with: its own colour, or else its material's."""
    colors = model.geom_rgba[:, :3].copy()
    unset = np.all(model.geom_rgba == 0.5 * np.array([1, 1, 1, 2]), axis=1)
    from_material = unset & (model.geom_matid >= 0)
    colors[from_material] = model.mat_rgba[model.geom_matid[from_material], :3]
    return colors


def _scenery(model: mujoco.MjModel) -> NDArray[np.int64]:
    """Geoms of cabinet and room: the robot keeps its colours."""
    roots = model.body_rootid[model.geom_bodyid]
    cabinet = model.body(CABINET_BODY).id
    return np.flatnonzero((roots == cabinet) | (roots == 0))
