"""Colours shared by mosaics, plots and the report, so that one thing looks the same everywhere.

The hues are those of Okabe and Ito's palette, which stays apart under colour blindness.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

CANVAS: RGB = (18, 21, 27)
PANEL: RGB = (30, 35, 44)
TEXT: RGB = (236, 239, 244)
MUTED: RGB = (150, 158, 172)
OUTLINE: RGB = (10, 12, 16)

FORWARD: RGB = (255, 159, 28)
"""Motion away from the camera."""
BACKWARD: RGB = (86, 180, 233)
"""Motion towards the camera."""
SIDEWAYS: RGB = (255, 255, 255)
"""Motion in the image plane."""
WEIGHT: RGB = (0, 190, 140)
"""Share of a neighbour in the average."""
GRIPPER: RGB = (204, 121, 167)
GRASP: RGB = (240, 228, 66)
"""Where the gripper will close."""

SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Colours of plotted series, in order of use."""


def mix(low: RGB, high: RGB, fraction: float) -> RGB:
    """Colour between `low` (fraction 0) and `high` (fraction 1); the fraction is clamped."""
    share = min(max(fraction, 0.0), 1.0)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return (red, green, blue)
