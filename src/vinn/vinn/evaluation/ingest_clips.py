"""Clips with known camera paths: the simulated expert, filmed through a wide fisheye lens.

They measure `vinn.ingest`: the same episode gives a video, the true camera path, the true gripper
states, and the demonstration that the simulator itself would record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from vinn.errors import RobotError
from vinn.ingest.lenses.camera_profile import find_profile
from vinn.ingest.lenses.lens import Lens
from vinn.sim.episode import ExpertEpisode, run_expert
from vinn.sim.scene import SceneConfig
from vinn.sim.stretch_model import FINGER_JOINTS, WRIST_CAMERA, aperture_to_finger_rad
from vinn.sim.world import DoorWorld

FISHEYE = find_profile("sim_fisheye", ()).lens

_FACE_PX = 480


class FisheyeRenderer:
    """Renders a model's wrist camera through any lens: faces of a cube, resampled.

    Only faces that the lens sees are rendered.
    """

    def __init__(self, model: mujoco.MjModel, lens: Lens) -> None:
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, _FACE_PX)
        model.vis.global_.offheight = max(model.vis.global_.offheight, _FACE_PX)
        self._renderer = mujoco.Renderer(model, _FACE_PX, _FACE_PX)
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._model, self._lens = model, lens
        pixels = np.stack(
            np.meshgrid(np.arange(lens.width_px), np.arange(lens.height_px)), axis=-1
        ).astype(np.float64)
        rays = lens.unproject(pixels)
        turns = (("y", 0), ("y", 90), ("y", -90), ("x", 90), ("x", -90))
        faces = [_rotation(axis, degrees) for axis, degrees in turns]
        nearest = np.argmax(np.stack([rays @ face[:, 2] for face in faces], -1), -1)
        self._faces = [
            (face, nearest == i, _FaceMap(rays @ face))
            for i, face in enumerate(faces)
            if (nearest == i).any()
        ]

    def render(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """(lens height, lens width, 3) uint8 RGB of `data`, whose forward kinematics are done."""
        camera = data.cam(WRIST_CAMERA)
        # MuJoCo's camera axes are x right, y up, z backward.
        world_R_optical = np.array(camera.xmat).reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
        position = np.array(camera.xpos)
        image = np.zeros((self._lens.height_px, self._lens.width_px, 3), np.uint8)
        for optical_R_face, pixels, face_map in self._faces:
            world_R_face = world_R_optical @ optical_R_face
            self._renderer.update_scene(data, WRIST_CAMERA)
            for eye in self._renderer.scene.camera:
                eye.pos = position
                eye.forward, eye.up = world_R_face[:, 2], -world_R_face[:, 1]
                # A square face of 90 degrees.
                half = eye.frustum_near
                eye.frustum_center, eye.frustum_width = 0.0, half
                eye.frustum_bottom, eye.frustum_top = -half, half
            image[pixels] = face_map(self._renderer.render())[pixels]
        return image

    def close(self) -> None:
        """Free the OpenGL context."""
        self._renderer.close()


class _FaceMap:
    """Looks up rays, given in a face's own axes, in that face's picture."""

    def __init__(self, rays: NDArray[np.float64]) -> None:
        face = Lens.pinhole(_FACE_PX, _FACE_PX, 90.0)
        self._pixels = np.nan_to_num(face.project(rays), nan=-1e3).astype(np.float32)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(
            cv2.remap(
                image,
                self._pixels[..., 0],
                self._pixels[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.uint8,
        )


def _rotation(axis: str, degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


@dataclass(frozen=True)
class FilmedEpisode:
    """An expert's episode of S steps as a film of N = S * frames_per_step + 1 frames.

    Attributes:
        images_rgb: N images, (H, W, 3) uint8.
        world_centre_m: (N, 3) camera centres.
        world_R_camera: (N, 3, 3) optical axes.
        gripper: (S,) states, as the demonstration has them.
        frame_gripper: (N,) state of the gripper as each frame shows it: the state reached by the
            last step done, 0 before the first.
        episode: what the simulator's own recording has.
    """

    images_rgb: tuple[NDArray[np.uint8], ...]
    world_centre_m: NDArray[np.float64]
    world_R_camera: NDArray[np.float64]
    gripper: NDArray[np.int8]
    frame_gripper: NDArray[np.int8]
    episode: ExpertEpisode


class _FilmedWorld(DoorWorld):
    """Remembers the state at every moment of physics that the executor waits for."""

    def reset(self, seed: int, offset_gripper_m: NDArray[np.float64] | None = None) -> None:
        super().reset(seed, offset_gripper_m)
        self.moments = [(0.0, self.data.qpos.copy())]

    def step(self, seconds: float) -> None:
        super().step(seconds)
        self.moments.append((self.time_s, self.data.qpos.copy()))


def film_expert(
    scene: SceneConfig,
    seed: int,
    frames_per_step: int,
    lens: Lens = FISHEYE,
    textured: bool = True,
) -> FilmedEpisode:
    """Let the expert open a door and film it; each step lasts `frames_per_step` frames.

    Args:
        scene: what is filmed.
        seed: of the episode.
        frames_per_step: frames from one action to the next.
        lens: of the film.
        textured: False takes every texture off.

    Raises:
        RobotError: the expert failed with this seed.
    """
    world = _FilmedWorld(scene, seed)
    step_ends: list[int] = []
    episode = run_expert(world, seed, lambda _: step_ends.append(len(world.moments) - 1))
    if not episode.success:
        world.close()
        raise RobotError(f"expert, seed {seed}: did not open the door ({episode.reason.name})")
    chosen = [0]
    begin = 0
    for end in step_ends:
        chosen += [
            begin + round((end - begin) * part / frames_per_step)
            for part in range(1, frames_per_step + 1)
        ]
        begin = end
    if not textured:
        world.model.mat_texid[:] = -1
    renderer = FisheyeRenderer(world.model, lens)
    data = mujoco.MjData(world.model)
    rng = np.random.default_rng([seed, 0xF11])
    images, centres, axes = [], [], []
    for index in chosen:
        data.qpos[:] = world.moments[index][1]
        mujoco.mj_forward(world.model, data)
        image = renderer.render(data).astype(np.float32)
        noise = rng.normal(0.0, scene.difficulty.pixel_noise, image.shape[:2])[..., None]
        images.append(np.clip(image + noise, 0, 255).astype(np.uint8))
        camera = data.cam(WRIST_CAMERA)
        centres.append(np.array(camera.xpos))
        axes.append(np.array(camera.xmat).reshape(3, 3) @ np.diag([1.0, -1.0, -1.0]))
    renderer.close()
    world.close()
    frame_gripper = np.concatenate([[0], np.repeat(episode.gripper, frames_per_step)])
    return FilmedEpisode(
        tuple(images),
        np.array(centres),
        np.array(axes),
        episode.gripper,
        frame_gripper.astype(np.int8),
        episode,
    )


GRIPPER_APERTURE = ((0.9, 1.0), (0.55, 0.75), (0.2, 0.4), (0.0, 0.08))
"""Share of the widest opening that each of the four states shows."""


def film_gripper(
    scene: SceneConfig, seed: int, frames: int, lens: Lens = FISHEYE
) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """The gripper opening and closing in front of a cabinet, with its true states.

    States change by at most one from frame to frame and the robot stands elsewhere in each.
    """
    rng = np.random.default_rng([seed, 0x6219])
    images, states, state = [], [], 0
    with DoorWorld(scene, seed) as world:
        renderer = FisheyeRenderer(world.model, lens)
        fingers = [world.model.joint(name).qposadr[0] for name in FINGER_JOINTS]
        widest = scene.difficulty.gripper_aperture_m
        for _ in range(frames):
            world.reset(seed, rng.uniform([-0.1, -0.05, -0.08], [0.1, 0.05, 0.08]))
            if rng.random() < 0.5:
                state = int(np.clip(state + rng.choice([-1, 1]), 0, 3))
            share = rng.uniform(*GRIPPER_APERTURE[state])
            world.data.qpos[fingers] = aperture_to_finger_rad(share * widest)
            mujoco.mj_forward(world.model, world.data)
            noise = rng.normal(0, 2.0, (lens.height_px, lens.width_px, 1))
            images.append(np.clip(renderer.render(world.data) + noise, 0, 255).astype(np.uint8))
            states.append(state)
        renderer.close()
    return images, states


def write_clip(
    path: Path,
    images_rgb: Sequence[NDArray[np.uint8]],
    rate_hz: int,
    numbers: Sequence[int] | None = None,
) -> None:
    """Write frames as a high-quality H.264 video.

    Args:
        path: of the mp4.
        images_rgb: frames, (H, W, 3) uint8.
        rate_hz: frames per second.
        numbers: time of each frame in 1 / rate_hz, where some are missing; None is 0, 1, 2...
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate_hz))
        stream.height, stream.width = images_rgb[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "14", "preset": "veryfast", "g": "15", "threads": "1"}
        stream.codec_context.time_base = Fraction(1, rate_hz)
        for index, image in enumerate(images_rgb):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = index if numbers is None else numbers[index]
            frame.time_base = Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
