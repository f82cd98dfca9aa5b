"""Recording the expert's demonstrations into a `vinn.demos` store."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from vinn.demos.files import atomic_directory
from vinn.demos.store import write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta, new_meta
from vinn.errors import ConfigError, DatasetError
from vinn.sim.cabinets import CABINETS, cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import run_expert
from vinn.sim.scene import SceneConfig
from vinn.sim.stretch_model import WristCamera
from vinn.sim.world import DoorWorld

MAX_DEMONSTRATIONS = 10_000
MAX_FAILURES_IN_A_ROW = 10
TASK = "door_opening"


def record_demonstrations(
    out_dir: Path,
    cabinets: Sequence[str] = tuple(CABINETS),
    count: int = 20,
    difficulty: str = "easy",
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Record `count` demonstrations per cabinet; the dataset appears whole or not at all.

    Args:
        out_dir: the new dataset.
        cabinets: names, see `cabinet_named`.
        count: successful demonstrations per cabinet.
        difficulty: decides starts, appearance and the expert's variation.
        seed: of the first episode; the following episodes count upwards from it.
        on_progress: called with (demonstrations done, demonstrations in all).

    Returns:
        How many of the expert's episodes failed; they are discarded.

    Raises:
        ConfigError: an unknown name, or a number out of range.
        DatasetError: `out_dir` exists or cannot be written, or the expert keeps failing.
    """
    if not 1 <= count <= MAX_DEMONSTRATIONS:
        raise ConfigError(f"demos = {count}; allowed: 1 to {MAX_DEMONSTRATIONS} per cabinet")
    if seed < 0:
        raise ConfigError(f"seed = {seed}; allowed: 0 or more")
    if not cabinets or len(set(cabinets)) != len(cabinets):
        raise ConfigError(f"cabinets = {', '.join(cabinets) or 'none'}; allowed: each name once")
    scenes = [
        SceneConfig(cabinet=cabinet_named(name), difficulty=difficulty_named(difficulty))
        for name in cabinets
    ]
    done = discarded = 0

    def on_recorded() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, count * len(scenes))

    with atomic_directory(Path(out_dir), DatasetError) as folder:
        for scene in scenes:
            discarded += _record_scene(folder, scene, count, seed, on_recorded)
    return discarded


def _record_scene(
    folder: Path, scene: SceneConfig, count: int, seed: int, on_recorded: Callable[[], None]
) -> int:
    """Record one cabinet; returns how many episodes failed."""
    recorded = discarded = in_a_row = 0
    with DoorWorld(scene) as world:
        while recorded < count:
            episode_seed = seed + recorded + discarded
            episode = run_expert(world, episode_seed)
            if episode.success:
                write_demonstration(
                    folder,
                    demonstration_meta(scene, episode_seed),
                    episode.frames_rgb,
                    episode.camera_delta_m,
                    episode.gripper,
                )
                recorded, in_a_row = recorded + 1, 0
                on_recorded()
                continue
            discarded, in_a_row = discarded + 1, in_a_row + 1
            if in_a_row >= MAX_FAILURES_IN_A_ROW:
                raise DatasetError(
                    f"cabinet {scene.cabinet.name}: the expert failed {in_a_row} times in a row "
                    f"(last: {episode.reason.value}); nothing was recorded"
                )
    return discarded


def demonstration_meta(scene: SceneConfig, seed: int) -> DemonstrationMeta:
    """Meta data of the expert's episode `seed` in a scene; enough to repeat it."""
    return new_meta(
        name=f"{scene.cabinet.name}-{seed:06d}",
        task=TASK,
        camera=camera_info(scene.camera),
        action_scale=ActionScale.METRIC,
        provenance={
            "tool": "vinn sim record",
            "seed": seed,
            "cabinet": scene.cabinet.name,
            "difficulty": scene.difficulty.name,
            "occlusion": scene.occlusion.value,
            "camera_tilt_rad": scene.camera.mount.tilt_rad,
            "camera_roll_rad": scene.camera.mount.roll_rad,
            "vinn": version("vinn"),
            "mujoco": version("mujoco"),
            "stretch_urdf": version("hello-robot-stretch-urdf"),
        },
    )


def camera_info(camera: WristCamera) -> CameraInfo:
    """Intrinsics of the simulated camera: a pinhole with square pixels."""
    focal_px = 0.5 * camera.height_px / math.tan(0.5 * camera.fovy_rad)
    return CameraInfo(
        name="sim_wrist",
        width_px=camera.width_px,
        height_px=camera.height_px,
        fx_px=focal_px,
        fy_px=focal_px,
        cx_px=0.5 * (camera.width_px - 1),
        cy_px=0.5 * (camera.height_px - 1),
    )
