"""Text on images, with the font that Pillow carries (Aileron: Latin letters and punctuation)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vinn.errors import ConfigError
from vinn.viz import style

ANCHORS = {"left": "ls", "right": "rs", "center": "ms"}


@lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ConfigError(
            "this Pillow was built without FreeType, which draws text: install another"
        )
    return font


class TextLayer:
    """Collects text and draws it onto an image in one pass.

    Converting between array and PIL image costs about a millisecond, so it happens once.
    """

    def __init__(self) -> None:
        self._items: list[tuple[tuple[int, int], str, int, style.RGB, str]] = []

    def add(
        self,
        text: str,
        baseline_px: tuple[int, int],
        size_px: int = 13,
        color: style.RGB = style.TEXT,
        align: str = "left",
    ) -> None:
        """Put one line of text with its baseline at (x, y); `align` is a key of `ANCHORS`."""
        self._items.append((baseline_px, text, size_px, color, ANCHORS[align]))

    def draw(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of the (H, W, 3) RGB image with the text on it."""
        picture = Image.fromarray(image_rgb)
        pen = ImageDraw.Draw(picture)
        for position, text, size_px, color, anchor in self._items:
            pen.text(position, text, fill=color, font=_font(size_px), anchor=anchor)
        return np.asarray(picture, dtype=np.uint8).copy()


def shorten(text: str, width_px: int, size_px: int = 13) -> str:
    """`text`, its beginning replaced by an ellipsis so that it is at most `width_px` wide.

    The end is what tells numbered names apart.
    """
    font = _font(size_px)
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength("…" + text) > width_px:
        text = text[1:]
    return "…" + text
