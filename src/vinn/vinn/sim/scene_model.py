"""The scene as one MuJoCo model: robot, cabinet, signs, bins, room and lights."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.stretch_model import add_stretch
from vinn.sim.textures import PHOTOS, SURFACES, photo, tinted, wood

DOOR_HINGE = "door_hinge"
DOOR_GEOM = "door"
HANDLE_GEOMS = ("handle_bar", "handle_post_top", "handle_post_bottom")
HANDLE_SITE = "handle"
SIGN_GEOM = "sign"
WALL_GEOM, FLOOR_GEOM = "wall", "floor"
FRONT_GEOMS = ("front_left", "front_right", "front_above", "front_below")
"""The fixed fronts around the door."""
FRONT_LOOKS = ("carcass", *(f"front_{surface}" for surface in SURFACES), None)
"""Materials a varied front may have; None is plain paint."""
CABINET_BODY = "cabinet"
DISTRACTOR_SLOTS = 12
DISTRACTOR_SLOTS_ON_DOOR = (0, 1, 2)
LIGHTS = ("ceiling", "window")
DOOR_OPENS_TO_RAD = 1.75

_DOOR_HALF_THICKNESS_M = 0.009
_CABINET_DEPTH_M = 0.35
_BIN_GAP_M = 0.03


def build_model(config: SceneConfig) -> mujoco.MjModel:
    """Compile the scene."""
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.visual.map.znear = 0.01
    spec.visual.global_.offwidth = max(960, config.camera.width_px)
    spec.visual.global_.offheight = max(720, config.camera.height_px)
    spec.visual.headlight.ambient = [0.42, 0.42, 0.42]
    spec.visual.headlight.diffuse = [0.15, 0.15, 0.15]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    add_stretch(spec, config.camera)
    _SceneBuilder(spec, config).add()
    return spec.compile()


class _SceneBuilder:
    """Adds everything but the robot. One use."""

    def __init__(self, spec: mujoco.MjSpec, config: SceneConfig) -> None:
        self._spec = spec
        self._config = config
        self._cabinet = config.cabinet
        self._away = 1.0 if config.cabinet.hinge_side == "right" else -1.0
        """Direction along x from the handle to the hinge."""
        pose = config.world_T_cabinet()
        self._floor_z = -pose[2, 3]
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(pose[:3, :3]).ravel())
        self._frame = spec.worldbody.add_body(name=CABINET_BODY, pos=pose[:3, 3], quat=quaternion)

    def add(self) -> None:
        self._add_materials()
        self._add_room()
        self._add_carcass()
        self._add_door()
        self._add_bins()

    def _add_materials(self) -> None:
        cabinet = self._cabinet
        for name, look in (("door", cabinet.door), ("carcass", cabinet.carcass)):
            image = wood(look.rgb, look.contrast, look.grain_px, look.seed)
            self._add_texture_material(name, image, repeat=2.0)
        # Only what a scene can show is loaded: every texture costs memory and time.
        varied = self._config.difficulty.varied_background
        for surface in SURFACES if varied else (cabinet.floor,):
            image = tinted(photo(surface), cabinet.floor_rgb)
            self._add_texture_material(f"surface_{surface}", image, repeat=2.0)
            if varied:
                image = tinted(photo(surface), (0.8, 0.8, 0.8))
                self._add_texture_material(f"front_{surface}", image, repeat=2.0)
        photos = PHOTOS if self._config.difficulty.distractors else (cabinet.sign.photo,)
        for name in photos:
            self._add_texture_material(f"photo_{name}", photo(name), repeat=None)

    def _add_texture_material(
        self, name: str, image_rgb: NDArray[np.uint8], repeat: float | None
    ) -> None:
        texture = self._spec.add_texture(
            name=name,
            type=mujoco.mjtTexture.mjTEXTURE_2D,
            width=image_rgb.shape[1],
            height=image_rgb.shape[0],
            nchannel=3,
        )
        texture.data = image_rgb.tobytes()
        material = self._spec.add_material(name=name, specular=0.1, shininess=0.1)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        if repeat is not None:
            material.texuniform = True
            material.texrepeat = [repeat, repeat]

    def _add_room(self) -> None:
        config, cabinet = self._config, self._cabinet
        self._spec.add_texture(
            name="surroundings",
            type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
            builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
            rgb1=[0.82, 0.82, 0.80],
            rgb2=[0.55, 0.54, 0.52],
            width=64,
            height=64,
        )
        self._spec.worldbody.add_geom(
            name=FLOOR_GEOM,
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[4, 4, 0.1],
            material=f"surface_{cabinet.floor}",
            contype=0,
            conaffinity=0,
        )
        self._add_box(
            self._frame,
            WALL_GEOM,
            center=(0.0, _CABINET_DEPTH_M + 0.1, self._floor_z + 1.2),
            size=(4.0, 2.4, 0.02),
            rgb=cabinet.wall_rgb,
        )
        # Lights shine from behind the robot onto the door: the ceiling from above, a window aside.
        pose = config.world_T_cabinet()
        for name, direction, strength in (
            (LIGHTS[0], (0.15, 0.55, -0.8), 0.5),
            (LIGHTS[1], (-0.7, 0.6, -0.35), 0.3),
        ):
            self._spec.worldbody.add_light(
                name=name,
                pos=pose[:3, 3] - pose[:3, :3] @ (3.0 * np.array(direction)),
                dir=pose[:3, :3] @ np.array(direction),
                cutoff=60.0,
                exponent=0.0,
                diffuse=[strength] * 3,
                specular=[0.2, 0.2, 0.2],
                castshadow=False,
            )

    def _add_carcass(self) -> None:
        left, right, bottom, top = self._door_edges()
        front, depth, board = self._cabinet.handle.standoff_m, _CABINET_DEPTH_M, 0.018
        width, height = right - left, top - bottom
        x, z = 0.5 * (left + right), 0.5 * (bottom + top)
        y = front + 2 * _DOOR_HALF_THICKNESS_M + 0.5 * depth
        rgb = self._cabinet.carcass.rgb
        inside = tuple(0.6 * c for c in rgb)
        for name, center, half in (
            ("side_left", (left - board / 2, y, z), (board / 2, depth / 2, height / 2 + board)),
            ("side_right", (right + board / 2, y, z), (board / 2, depth / 2, height / 2 + board)),
            ("top", (x, y, top + board / 2), (width / 2, depth / 2, board / 2)),
            ("bottom", (x, y, bottom - board / 2), (width / 2, depth / 2, board / 2)),
            ("shelf", (x, y + 0.02, z), (width / 2, depth / 2 - 0.03, board / 2)),
        ):
            self._frame.add_geom(
                name=name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=center,
                size=half,
                rgba=(*rgb, 1),
                contype=0,
                conaffinity=0,
            )
        self._add_box(
            self._frame, "back", (x, y + depth / 2, z), (width, height, board), rgb=inside
        )
        # The fixed fronts around the door: a kitchen, not a box in the air.
        panel_y = front + _DOOR_HALF_THICKNESS_M
        thickness = 2 * _DOOR_HALF_THICKNESS_M
        tall = top + board + 0.35 - self._floor_z
        side_z = self._floor_z + tall / 2
        for name, center, size in (
            (FRONT_GEOMS[0], (left - board - 0.35, panel_y, side_z), (0.7, tall)),
            (
                FRONT_GEOMS[1],
                (right + board + 0.35, panel_y, self._floor_z + tall / 2),
                (0.7, tall),
            ),
            (FRONT_GEOMS[2], (x, panel_y, top + board + 0.175), (width + 2 * board, 0.35)),
            (
                FRONT_GEOMS[3],
                (x, panel_y, 0.5 * (self._floor_z + bottom - board)),
                (width + 2 * board, bottom - board - self._floor_z),
            ),
        ):
            self._add_box(
                self._frame, name, center, (*size, thickness), material="carcass", solid=True
            )

    def _add_door(self) -> None:
        cabinet, handle = self._cabinet, self._cabinet.handle
        left, right, bottom, top = self._door_edges()
        hinge_x = right if self._away > 0 else left
        front = handle.standoff_m
        door = self._frame.add_body(name="door", pos=[hinge_x, front, 0.0])
        door.add_joint(
            name=DOOR_HINGE,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            # Positive opens: towards the robot for either hinge side.
            axis=[0.0, 0.0, self._away],
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            range=[0.0, np.degrees(DOOR_OPENS_TO_RAD)],
            frictionloss=cabinet.hinge_friction_nm,
            damping=cabinet.hinge_damping_nms,
        )
        gap = 0.002
        center_x = 0.5 * (left + right) - hinge_x
        self._add_box(
            door,
            DOOR_GEOM,
            (center_x, _DOOR_HALF_THICKNESS_M, 0.5 * (bottom + top)),
            (right - left - gap, top - bottom - gap, 2 * _DOOR_HALF_THICKNESS_M),
            material="door",
            solid=True,
            mass=cabinet.door_mass_kg,
        )
        self._add_handle(door, -hinge_x)
        self._add_sign(door, -hinge_x)
        if self._config.difficulty.distractors:
            self._add_distractors(door, -hinge_x)

    def _add_handle(self, door: mujoco.MjsBody, bar_x: float) -> None:
        handle = self._cabinet.handle
        covered = self._config.occlusion is not Occlusion.NONE
        half = handle.half_length_m * self._config.difficulty.handle_length_factor
        bar = np.array([bar_x, -handle.standoff_m, 0.0])
        post_z = half - handle.radius_m
        up, back = np.array([0.0, 0.0, 1.0]), np.array([0.0, handle.standoff_m, 0.0])
        top, bottom = bar + post_z * up, bar - post_z * up
        ends = {
            "handle_bar": (bar - half * up, bar + half * up),
            "handle_post_top": (top, top + back),
            "handle_post_bottom": (bottom, bottom + back),
        }
        # Covered means wrapped in the door's own material: still there, still graspable.
        self._spec.add_material(
            name="handle",
            rgba=(*(self._cabinet.door.rgb if covered else handle.rgb), 1),
            specular=0.0 if covered else handle.shiny,
            shininess=0.0 if covered else 0.5,
        )
        for name in HANDLE_GEOMS:
            door.add_geom(
                name=name,
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                fromto=np.concatenate(ends[name]),
                size=[handle.radius_m, 0, 0],
                material="handle",
                contype=0,
                conaffinity=1,
                condim=4,
                friction=[1.2, 0.01, 0.001],
                mass=0.05,
            )
        door.add_site(name=HANDLE_SITE, pos=bar, size=[0.002, 0.002, 0.002], group=4)

    def _add_sign(self, door: mujoco.MjsBody, bar_x: float) -> None:
        sign = self._cabinet.sign
        covered = self._config.occlusion is not Occlusion.NONE
        self._add_box(
            door,
            SIGN_GEOM,
            (bar_x + self._away * sign.beside_handle_m, -0.001, sign.above_handle_m),
            (sign.width_m, sign.height_m, 0.002),
            material=None if covered else f"photo_{sign.photo}",
            rgb=self._cabinet.door.rgb if covered else None,
        )

    def _add_bins(self) -> None:
        left, right, _, _ = self._door_edges()
        covered = self._config.occlusion.covered_bins
        # The bin on the handle's side is the one the camera sees most of: it is covered first.
        handle_side_first = (1, 0) if self._away < 0 else (0, 1)
        hidden = set(handle_side_first[:covered])
        for index, (side, edge) in enumerate(((-1.0, left), (1.0, right))):
            params = self._cabinet.bins[index]
            rgb = self._cabinet.carcass.rgb if index in hidden else params.rgb
            x = edge + side * (_BIN_GAP_M + params.width_m / 2)
            y = -0.02 - params.width_m / 2
            body = self._frame.add_body(name=f"bin_{index}", pos=[x, y, self._floor_z])
            half = params.width_m / 2
            common = {"type": mujoco.mjtGeom.mjGEOM_BOX, "contype": 0, "conaffinity": 0}
            body.add_geom(
                pos=[0, 0, params.height_m / 2],
                size=[half, half, params.height_m / 2],
                rgba=(*rgb, 1),
                **common,
            )
            if index in hidden:
                continue
            rim = tuple(0.5 * c for c in rgb)
            body.add_geom(
                pos=[0, 0, params.height_m],
                size=[half + 0.008, half + 0.008, 0.015],
                rgba=(*rim, 1),
                **common,
            )
            body.add_geom(
                pos=[0, 0, params.height_m + 0.012],
                size=[half - 0.02, half - 0.02, 0.005],
                rgba=(0.05, 0.05, 0.05, 1),
                **common,
            )

    def _add_distractors(self, door: mujoco.MjsBody, bar_x: float) -> None:
        """Pictures at the handle's place; every episode moves them (`vinn.sim.appearance`)."""
        for slot in range(DISTRACTOR_SLOTS):
            on_door = slot in DISTRACTOR_SLOTS_ON_DOOR
            # Each a little before the last: pictures that overlap would flicker on one plane.
            y = -0.003 - 0.0003 * slot
            self._add_box(
                door if on_door else self._frame,
                f"distractor_{slot}",
                (bar_x, y, 0.0) if on_door else (0.0, self._cabinet.handle.standoff_m + y, 0.0),
                (0.1, 0.1, 0.002),
                material=f"photo_{PHOTOS[slot % len(PHOTOS)]}",
            )

    def _door_edges(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of the door in the cabinet frame [m]."""
        cabinet = self._cabinet
        free = -self._away * cabinet.handle.inset_m
        hinge = free + self._away * cabinet.door_width_m
        middle = -cabinet.handle_up_m
        half = 0.5 * cabinet.door_height_m
        return min(free, hinge), max(free, hinge), middle - half, middle + half

    @staticmethod
    def _add_box(
        body: mujoco.MjsBody,
        name: str,
        center: tuple[float, float, float],
        size: tuple[float, float, float],
        material: str | None = None,
        rgb: tuple[float, ...] | None = None,
        solid: bool = False,
        mass: float = 0.0,
    ) -> None:
        """A board seen from the robot's side: size = (width, height, thickness)."""
        options = {"material": material} if material else {"rgba": (*(rgb or (0.5,) * 3), 1)}
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=center,
            # Textures lie on a box's local x-y plane: turn local z towards the robot (-y).
            quat=[np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0],
            size=[0.5 * s for s in size],
            contype=0,
            conaffinity=1 if solid else 0,
            mass=mass,
            **options,
        )
