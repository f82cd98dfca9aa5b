"""The cabinets: three with names, and any number drawn from one seeded distribution."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vinn.errors import ConfigError
from vinn.sim.textures import PHOTOS, SURFACES

Rgb = tuple[float, float, float]


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Wood(_Parameters):
    """How a surface of wood (or paint) looks."""

    rgb: Rgb
    contrast: float = Field(default=0.6, ge=0.0, le=1.0)
    grain_px: float = Field(default=1.5, gt=0.2, le=10.0)
    seed: int = 0


class Handle(_Parameters):
    """An upright bar on two posts."""

    rgb: Rgb
    half_length_m: float = Field(default=0.07, ge=0.02, le=0.2)
    radius_m: float = Field(default=0.007, ge=0.004, le=0.015)
    standoff_m: float = Field(default=0.05, ge=0.035, le=0.08)
    """From the door to the middle of the bar."""
    inset_m: float = Field(default=0.05, ge=0.03, le=0.1)
    """From the door's free edge to the bar."""
    shiny: float = Field(default=0.5, ge=0.0, le=1.0)


class Sign(_Parameters):
    """A picture on the door."""

    photo: Literal[PHOTOS]  # type: ignore[valid-type]
    width_m: float = Field(default=0.14, ge=0.03, le=0.3)
    height_m: float = Field(default=0.14, ge=0.03, le=0.3)
    beside_handle_m: float = Field(default=0.13, ge=0.08, le=0.3)
    """From the bar towards the hinge, to the sign's middle."""
    above_handle_m: float = Field(default=0.04, ge=-0.2, le=0.2)


class Bin(_Parameters):
    """A waste bin on the floor beside the door."""

    rgb: Rgb
    width_m: float = Field(default=0.22, ge=0.1, le=0.4)
    height_m: float = Field(default=0.55, ge=0.2, le=0.65)


class CabinetParameters(_Parameters):
    """Everything that makes one cabinet different from another. Sides as the robot sees them."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    hinge_side: Literal["left", "right"]
    door_width_m: float = Field(default=0.34, ge=0.25, le=0.5)
    door_height_m: float = Field(default=0.5, ge=0.3, le=0.8)
    handle_up_m: float = Field(default=0.0, ge=-0.15, le=0.15)
    """The handle above the middle of the door."""
    door_mass_kg: float = Field(default=2.0, gt=0.2, le=10.0)
    hinge_friction_nm: float = Field(default=0.15, ge=0.0, le=2.0)
    hinge_damping_nms: float = Field(default=0.25, ge=0.0, le=5.0)
    door: Wood
    carcass: Wood
    handle: Handle
    sign: Sign
    bins: tuple[Bin, Bin]
    """Left and right of the door."""
    wall_rgb: Rgb = (0.75, 0.74, 0.70)
    floor: Literal[SURFACES] = "gravel"  # type: ignore[valid-type]
    floor_rgb: Rgb = (0.5, 0.48, 0.45)


CABINETS: dict[str, CabinetParameters] = {
    cabinet.name: cabinet
    for cabinet in (
        CabinetParameters(
            name="oak",
            hinge_side="left",
            door_width_m=0.34,
            door=Wood(rgb=(0.72, 0.52, 0.30), contrast=0.8, seed=1),
            carcass=Wood(rgb=(0.66, 0.47, 0.27), contrast=0.8, seed=2),
            handle=Handle(rgb=(0.72, 0.73, 0.75), shiny=0.9),
            sign=Sign(photo="coffee"),
            bins=(Bin(rgb=(0.10, 0.32, 0.62)), Bin(rgb=(0.12, 0.48, 0.22))),
        ),
        CabinetParameters(
            name="white",
            hinge_side="right",
            door_width_m=0.38,
            door_height_m=0.6,
            handle_up_m=-0.05,
            door=Wood(rgb=(0.86, 0.86, 0.84), contrast=0.08, seed=3),
            carcass=Wood(rgb=(0.80, 0.80, 0.79), contrast=0.08, seed=4),
            handle=Handle(rgb=(0.10, 0.10, 0.11), half_length_m=0.08, standoff_m=0.045, shiny=0.2),
            sign=Sign(photo="rocket", width_m=0.12, height_m=0.16, above_handle_m=0.06),
            bins=(
                Bin(rgb=(0.55, 0.55, 0.57), height_m=0.5),
                Bin(rgb=(0.75, 0.16, 0.12), height_m=0.58),
            ),
            wall_rgb=(0.60, 0.70, 0.76),
            floor="brick",
            floor_rgb=(0.45, 0.32, 0.26),
        ),
        CabinetParameters(
            name="walnut",
            hinge_side="left",
            door_width_m=0.30,
            door_height_m=0.44,
            handle_up_m=0.04,
            door=Wood(rgb=(0.46, 0.30, 0.20), contrast=0.9, grain_px=2.0, seed=5),
            carcass=Wood(rgb=(0.38, 0.24, 0.16), contrast=0.9, grain_px=2.0, seed=6),
            handle=Handle(rgb=(0.80, 0.62, 0.28), half_length_m=0.06, radius_m=0.006, shiny=0.8),
            sign=Sign(photo="astronaut", width_m=0.12, height_m=0.12, above_handle_m=0.0),
            bins=(
                Bin(rgb=(0.85, 0.68, 0.10), width_m=0.2),
                Bin(rgb=(0.30, 0.30, 0.32), width_m=0.24, height_m=0.6),
            ),
            wall_rgb=(0.70, 0.66, 0.58),
            floor="grass",
            floor_rgb=(0.36, 0.40, 0.34),
        ),
    )
}


def cabinet_named(name: str) -> CabinetParameters:
    """A named cabinet, or `sampled-SEED` for one from the distribution.

    Raises:
        ConfigError: unknown name.
    """
    if name in CABINETS:
        return CABINETS[name]
    prefix, _, seed = name.partition("-")
    if prefix == "sampled" and seed.isdecimal():
        return sample_cabinet(int(seed))
    raise ConfigError(f"cabinet {name!r} is unknown; allowed: {', '.join(CABINETS)}, sampled-SEED")


def sample_cabinet(seed: int) -> CabinetParameters:
    """An unseen cabinet: the same seed gives the same one.

    The named cabinets lie inside the distribution, in size, handle and material.
    """
    rng = np.random.default_rng([seed, 0xCAB])
    painted = rng.random() < 0.4
    lightness = rng.uniform(0.25, 0.9)
    hue = np.array([1.0, 0.72, 0.45]) if not painted else rng.uniform(0.75, 1.0, 3)
    door_rgb = np.clip(lightness * hue * rng.uniform(0.9, 1.1, 3), 0.05, 0.95)
    contrast, grain = (0.08, 1.5) if painted else (rng.uniform(0.5, 1.0), rng.uniform(1.0, 3.0))
    door, carcass = (
        Wood(rgb=_rgb(door_rgb * shade), contrast=contrast, grain_px=grain, seed=int(wood_seed))
        for shade, wood_seed in zip((1.0, 0.9), rng.integers(1 << 30, size=2), strict=True)
    )
    metals = ((0.72, 0.73, 0.75), (0.10, 0.10, 0.11), (0.80, 0.62, 0.28), (0.55, 0.33, 0.22))
    return CabinetParameters(
        name=f"sampled-{seed}",
        hinge_side="left" if rng.random() < 0.5 else "right",
        door_width_m=rng.uniform(0.29, 0.40),
        door_height_m=rng.uniform(0.42, 0.65),
        handle_up_m=rng.uniform(-0.06, 0.06),
        door_mass_kg=rng.uniform(1.5, 3.0),
        hinge_friction_nm=rng.uniform(0.05, 0.3),
        hinge_damping_nms=rng.uniform(0.1, 0.4),
        door=door,
        carcass=carcass,
        handle=Handle(
            rgb=metals[rng.integers(len(metals))],
            half_length_m=rng.uniform(0.055, 0.085),
            radius_m=rng.uniform(0.0055, 0.008),
            standoff_m=rng.uniform(0.043, 0.055),
            inset_m=rng.uniform(0.04, 0.06),
            shiny=rng.uniform(0.1, 0.9),
        ),
        sign=Sign(
            photo=PHOTOS[rng.integers(len(PHOTOS))],
            width_m=rng.uniform(0.09, 0.15),
            height_m=rng.uniform(0.09, 0.17),
            beside_handle_m=rng.uniform(0.11, 0.15),
            above_handle_m=rng.uniform(-0.06, 0.08),
        ),
        bins=(_sample_bin(rng), _sample_bin(rng)),
        wall_rgb=_rgb(rng.uniform(0.5, 0.85, 3)),
        floor=SURFACES[rng.integers(len(SURFACES))],
        floor_rgb=_rgb(rng.uniform(0.25, 0.55, 3)),
    )


def _sample_bin(rng: np.random.Generator) -> Bin:
    return Bin(
        rgb=_rgb(rng.uniform(0.08, 0.85, 3)),
        width_m=rng.uniform(0.18, 0.26),
        height_m=rng.uniform(0.45, 0.62),
    )


def _rgb(values: np.ndarray) -> Rgb:
    r, g, b = (float(np.clip(value, 0.0, 1.0)) for value in values)
    return r, g, b
