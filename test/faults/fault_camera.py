"""A wrist camera for the fault table: a picture that makes the policy move, and every way to fail.

The picture is an orange square on blue. Its side says where to move (`write_policy`), and the
camera picks the side by where the arm is, so that a rollout never runs out of room.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tiny_encoder import HEIGHT_PX, WIDTH_PX, square_image, write_tiny_encoder
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import CameraError
from vinn.policies.build import build_policy

_SIDE_AT = {-1: 0.2, 1: 0.8}
_SPREAD = 0.15
_FRAMES = 10


def picture(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """The square left (-1) or right (1) of the middle, with sensor noise."""
    image = square_image(_SIDE_AT[side] + rng.uniform(-_SPREAD, _SPREAD), rng.uniform(0.2, 0.8))
    return image + rng.integers(0, 8, image.shape, dtype=np.uint8)


def write_demonstrations(root: Path, count: int = 12, seed: int = 0) -> Dataset:
    """Square on the left: move right; square on the right: move left. Unit actions."""
    rng = np.random.default_rng(seed)
    camera = CameraInfo(name="wrist", width_px=WIDTH_PX, height_px=HEIGHT_PX)
    for index in range(count):
        sides = rng.choice([-1, 1], _FRAMES)
        delta = np.zeros((_FRAMES, 3))
        delta[:, 0] = -sides
        meta = DemonstrationMeta(
            name=f"side_{index}", task="square", camera=camera, action_scale=ActionScale.UNIT
        )
        images = [picture(rng, int(side)) for side in sides]
        write_demonstration(root, meta, images, delta, [0] * _FRAMES)
    return Dataset.open(root)


def write_policy(directory: Path) -> Path:
    """A real policy artefact over these demonstrations."""
    dataset = write_demonstrations(directory / "demos")
    encoder = write_tiny_encoder(directory / "encoder")
    return build_policy(dataset, encoder, directory / "policy", k=3)


def _strange(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 255, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)


BAD_PICTURES: dict[str, Callable[[np.random.Generator], NDArray[np.uint8]]] = {
    "black": lambda rng: rng.integers(0, 3, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8),
    "white": lambda rng: rng.integers(253, 256, (HEIGHT_PX, WIDTH_PX, 3)).astype(np.uint8),
    "saturated": lambda rng: np.where(
        rng.random((HEIGHT_PX, WIDTH_PX, 1)) < 0.01, picture(rng, 1), np.uint8(255)
    ),
    "blank": lambda rng: (
        np.full((HEIGHT_PX, WIDTH_PX, 3), 120, np.uint8)
        + rng.integers(0, 3, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    ),
    "blurred": lambda rng: np.asarray(
        cv2.GaussianBlur(picture(rng, 1), (0, 0), 12.0), dtype=np.uint8
    ),
    "strange": _strange,
    "smaller": lambda rng: picture(rng, 1)[: HEIGHT_PX // 2],
}
"""Refused before the encoder; `strange` passes and is unlike every demonstration."""


class FakeCamera:
    """What `open_source` gives while the camera is plugged in; a live source at 15 Hz."""

    live = True

    def __init__(self, arm_m: Callable[[], float], rate_hz: float = 15.0) -> None:
        self.plugged = True
        self.mode = "good"
        """good, frozen (the same bytes again), old (stamps of 2 s ago), or one of BAD_PICTURES."""
        self.delay_s = 0.0
        """Frames are stamped this long before they come."""
        self.opened = 0
        self.tried_s: list[float] = []
        """Steady times at which somebody tried to open it."""
        self.clock_ns: Callable[[], int] = time.time_ns
        self._arm_m = arm_m
        self._period_s = 1.0 / rate_hz
        self._due_s = time.monotonic()
        self._rng = np.random.default_rng(1)
        self._last: NDArray[np.uint8] | None = None
        self._changed = threading.Event()

    def open(self, *args: object, **kwargs: object) -> FakeCamera:
        """In place of `open_source`."""
        self.tried_s.append(time.monotonic())
        self._check()
        self.opened += 1
        return self

    def read(self) -> tuple[NDArray[np.uint8], int] | None:
        """See `FrameSource`."""
        self._due_s = max(self._due_s + self._period_s, time.monotonic())
        self._changed.wait(self._due_s - time.monotonic())
        self._check()
        if self.mode in BAD_PICTURES:
            image = BAD_PICTURES[self.mode](self._rng)
        elif self.mode == "frozen" and self._last is not None:
            image = self._last
        else:
            # Right extends the arm: turn round before it runs out of reach.
            image = picture(self._rng, 1 if self._arm_m() > 0.25 else -1)
        self._last = image
        age_s = 2.0 if self.mode == "old" else self.delay_s
        return image, self.clock_ns() - int(age_s * 1e9)

    def close(self) -> None:
        """See `FrameSource`."""

    def _check(self) -> None:
        if not self.plugged:
            raise CameraError("source: fake: the camera gives no frame")
