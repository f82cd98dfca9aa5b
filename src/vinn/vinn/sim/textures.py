"""Textures of the scene: drawn wood, and scikit-image's photographs for signs and posters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina", "color")
"""Photographs that come inside the scikit-image package (nothing is downloaded)."""
SURFACES = ("brick", "grass", "gravel")
"""Grey surface photographs, tinted where they are used."""

_PHOTO_FILES = {
    name: f"{name}.{'jpg' if name in ('hubble_deep_field', 'retina', 'rocket') else 'png'}"
    for name in (*PHOTOS, *SURFACES)
}


def photo(name: str, width_px: int = 256, height_px: int = 256) -> NDArray[np.uint8]:
    """One of `PHOTOS` or `SURFACES` as (H, W, 3) uint8 RGB.

    Raises:
        ConfigError: unknown name, or the installed scikit-image lacks the file.
    """
    from importlib.resources import files

    if name not in _PHOTO_FILES:
        raise ConfigError(f"photo {name!r} is unknown; allowed: {', '.join(_PHOTO_FILES)}")
    path = files("skimage") / "data" / _PHOTO_FILES[name]
    if not path.is_file():
        raise ConfigError(f"{path}: missing from the installed scikit-image")
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError(f"{path}: cannot be decoded; reinstall scikit-image")
    resized = cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(resized[..., ::-1])


def tinted(image_rgb: NDArray[np.uint8], rgb: tuple[float, float, float]) -> NDArray[np.uint8]:
    """The image's lightness in one colour (each channel 0..1)."""
    grey = image_rgb.mean(axis=-1, keepdims=True) / 255.0
    grey = 0.55 + 0.9 * (grey - grey.mean())
    return np.clip(255.0 * grey * np.array(rgb) / 0.55, 0, 255).astype(np.uint8)


def wood(
    rgb: tuple[float, float, float], contrast: float, grain_px: float, seed: int, size_px: int = 256
) -> NDArray[np.uint8]:
    """Wood with upright grain, (size_px, size_px, 3) uint8 RGB; contrast 0 is plain paint.

    Args:
        rgb: mean colour, each channel 0..1.
        contrast: depth of the grain, 0..1.
        grain_px: width of a grain line [px].
        seed: of the pattern.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((size_px, size_px)).astype(np.float32)
    fine = cv2.GaussianBlur(noise, (0, 0), sigmaX=grain_px, sigmaY=grain_px * 25)
    broad = cv2.GaussianBlur(noise, (0, 0), sigmaX=grain_px * 6, sigmaY=grain_px * 40)
    pattern = fine / (fine.std() + 1e-9) + broad / (broad.std() + 1e-9)
    lightness = 1.0 + 0.12 * contrast * pattern[..., None]
    return np.clip(255.0 * lightness * np.array(rgb), 0, 255).astype(np.uint8)
