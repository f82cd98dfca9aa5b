"""Wrist views with one thing covered: what a novelty measure is held against.

The expert moves before a cabinet; at every step the same view is rendered once as it is and once
with each `Cover`. The frames are therefore paired: only what is covered differs (and the sensor's
noise).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from vinn.errors import ConfigError
from vinn.sim.cabinets import cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import run_expert
from vinn.sim.scene import SceneConfig
from vinn.sim.scene_model import DOOR_GEOM, HANDLE_GEOMS
from vinn.sim.world import DoorWorld

VISIBLE_SHARE = 0.01
"""A cover shows in a frame where it changes at least this share of the pixels ..."""
VISIBLE_CHANGE = 20.0
"""... by more than this, of 255, in the mean over the colours: above the sensor's noise."""


class Cover(str, Enum):
    """What is covered with the material behind it."""

    NONE = "none"
    SIGN = "sign"
    HANDLE = "handle"
    BINS = "bins"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class PairedViews:
    """One episode of the expert, T steps.

    Attributes:
        cabinet: its name.
        seed: of the episode.
        frames_rgb: by cover, T images (H, W, 3) uint8.
    """

    cabinet: str
    seed: int
    frames_rgb: Mapping[Cover, tuple[NDArray[np.uint8], ...]]

    def shows(self, cover: Cover) -> NDArray[np.bool_]:
        """(T,) in which frames the cover changes what is seen."""
        return np.array(
            [
                _changed_share(plain, covered) >= VISIBLE_SHARE
                for plain, covered in zip(
                    self.frames_rgb[Cover.NONE], self.frames_rgb[cover], strict=True
                )
            ]
        )


def paired_views(
    cabinets: Sequence[str],
    seeds: Sequence[int],
    difficulty: str = "easy",
    covers: Sequence[Cover] = tuple(Cover),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[PairedViews]:
    """Let the expert open doors and see each view with and without covers.

    Args:
        cabinets: names, see `cabinet_named`.
        seeds: of the episodes, the same for every cabinet.
        difficulty: decides starts and appearance.
        covers: which to render; `Cover.NONE` is always among them.
        on_progress: called with (episodes done, episodes in all).

    Raises:
        ConfigError: an unknown name, or no cabinet or seed.
    """
    if not cabinets or not seeds:
        raise ConfigError(f"{len(cabinets)} cabinets, {len(seeds)} seeds; allowed: 1 or more each")
    wanted = tuple(dict.fromkeys((Cover.NONE, *covers)))
    views = []
    for name in cabinets:
        scene = SceneConfig(cabinet=cabinet_named(name), difficulty=difficulty_named(difficulty))
        with DoorWorld(scene) as world:
            for seed in seeds:
                views.append(_episode(world, seed, wanted))
                if on_progress is not None:
                    on_progress(len(views), len(cabinets) * len(seeds))
    return views


def _episode(world: DoorWorld, seed: int, covers: Sequence[Cover]) -> PairedViews:
    frames: dict[Cover, list[NDArray[np.uint8]]] = {cover: [] for cover in covers}

    def look(seen: DoorWorld) -> None:
        for cover in covers:
            with covered(seen, cover):
                frames[cover].append(seen.wrist_image())

    run_expert(world, seed, on_step=look)
    return PairedViews(
        world.scene.cabinet.name, seed, {cover: tuple(images) for cover, images in frames.items()}
    )


@contextlib.contextmanager
def covered(world: DoorWorld, cover: Cover) -> Iterator[None]:
    """Cover something in a world for a while; physics is not touched."""
    model, cabinet = world.model, world.scene.cabinet
    # Where an episode redraws colours, a cover has the tint that the door has got.
    redrawn = bool(world.scene.difficulty.color_jitter)
    tint = model.geom(DOOR_GEOM).rgba[:3] if redrawn else np.ones(3)
    door, carcass = (
        np.clip(np.multiply(wood.rgb, tint), 0, 1) for wood in (cabinet.door, cabinet.carcass)
    )
    paints: dict[int, NDArray[np.float64]] = {}
    if cover in (Cover.SIGN, Cover.EVERYTHING):
        paints[model.geom("sign").id] = door
    if cover in (Cover.HANDLE, Cover.EVERYTHING):
        paints.update({model.geom(name).id: door for name in HANDLE_GEOMS})
    if cover in (Cover.BINS, Cover.EVERYTHING):
        bodies = [model.body(f"bin_{index}").id for index in (0, 1)]
        paints.update({int(g): carcass for g in np.flatnonzero(np.isin(model.geom_bodyid, bodies))})
    geoms = list(paints)
    before = model.geom_matid[geoms].copy(), model.geom_rgba[geoms].copy()
    for geom, rgb in paints.items():
        model.geom_matid[geom] = -1
        model.geom_rgba[geom] = (*rgb, 1.0)
    try:
        yield
    finally:
        model.geom_matid[geoms], model.geom_rgba[geoms] = before


def _changed_share(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    difference = np.abs(first.astype(np.int16) - second.astype(np.int16)).mean(axis=2)
    return float((difference > VISIBLE_CHANGE).mean())
