"""Does the camera look the way the configuration says? Jog each axis, compare with the picture.

A point at the depth Z of a scene at rest moves in the picture of a camera that was translated by t
(optical frame: x right, y down, z forward; f the focal length in pixels) by

    du = (-f t_x + (u - c_u) t_z) / Z        dv = (-f t_y + (v - c_v) t_z) / Z

A sideways motion shifts the picture the other way, a motion forward enlarges it. Only directions
are compared, so neither depths nor a calibration are needed. What moves with the camera, such as
the fingers, stands still in the picture and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.robot.types import ReasonCode

AXES = ("x", "y", "z")
JOG_M = 0.01
JOGS_M: tuple[tuple[float, float, float], ...] = (
    (JOG_M, 0.0, 0.0),
    (0.0, JOG_M, 0.0),
    (0.0, 0.0, -JOG_M),
)
"""The motions of a check in the camera's optical frame, each followed by the way back. Along z away
from what may stand in front of the gripper."""

_MIN_TRACKS = 20
_MIN_MOVED_M = 0.004
_MIN_FLOW = 0.002
"""A smaller median shift says nothing [image widths]."""
_MIN_GROWTH = 0.003
"""A smaller change of the picture's size says nothing [1]."""
_BACK_AND_FORTH_PX = 0.5
_AGREES_DEG, _REVERSED_DEG = 45.0, 135.0


class AxisVerdict(str, Enum):
    """What the picture says about one axis."""

    AGREES = "agrees"
    REVERSED = "reversed"
    TURNED = "turned"
    """Neither one way nor the other, e.g. a camera mounted on its side."""
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class AxisResult:
    """One axis."""

    axis: str
    verdict: AxisVerdict
    message: str
    turned_rad: float = math.nan
    """How far the picture's motion is turned from what was expected, x towards y (x and y only)."""


@dataclass(frozen=True)
class SignCheck:
    """The whole check."""

    axes: tuple[AxisResult, ...]

    @property
    def passed(self) -> bool:
        """Every axis agrees."""
        return all(result.verdict is AxisVerdict.AGREES for result in self.axes)

    @property
    def reason(self) -> ReasonCode:
        """NONE, or why nothing may start."""
        if self.passed:
            return ReasonCode.NONE
        wrong = (AxisVerdict.REVERSED, AxisVerdict.TURNED)
        if any(result.verdict in wrong for result in self.axes):
            return ReasonCode.CAMERA_REVERSED
        return ReasonCode.INVALID_IMAGE

    @property
    def message(self) -> str:
        """One line: what is wrong and what to do about it, or that all axes agree."""
        if self.passed:
            return "the camera's axes agree with the picture"
        found = "; ".join(f"{result.axis}: {result.message}" for result in self.axes)
        return f"{found}; {self._remedy()}"

    def _remedy(self) -> str:
        if self.reason is ReasonCode.INVALID_IMAGE:
            return "point the camera at something with texture, and keep the scene still"
        verdicts = {result.axis: result.verdict for result in self.axes}
        turns = [r.turned_rad for r in self.axes if math.isfinite(r.turned_rad)]
        if verdicts.get("z") is AxisVerdict.REVERSED:
            return "the camera looks backwards, or frames arrive late or out of order"
        if len(turns) == 2:
            apart = abs(_wrapped(turns[0] - turns[1]))
            if apart < math.radians(_AGREES_DEG):
                mean = math.atan2(sum(map(math.sin, turns)), sum(map(math.cos, turns)))
                return (
                    f"the camera is turned by {math.degrees(mean):+.0f} degrees about its optical "
                    f"axis: mount it the other way, or add {mean:+.3f} to camera.roll_rad"
                )
            return "the picture is mirrored: switch the camera's flip off"
        return "compare the camera's mounting with camera.* of the robot configuration"


def check_axis(
    axis: str,
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]],
) -> AxisResult:
    """Compare the motion of pictures with that of the camera.

    Args:
        axis: which was jogged, for the report.
        pairs: (before, after, moved): two (H, W, 3) uint8 RGB pictures, and the camera's
            translation between them as joints and odometry measured it, (3,) in its optical
            frame [m].
    """
    results = [_check_pair(axis, *pair) for pair in pairs]
    verdicts = {result.verdict for result in results}
    if len(verdicts) > 1:
        unclear = [r for r in results if r.verdict is AxisVerdict.UNCLEAR]
        said = unclear[0].message if unclear else "there and back disagree"
        return AxisResult(axis, AxisVerdict.UNCLEAR, said)
    return results[0]


def track(
    before_rgb: NDArray[np.uint8], after_rgb: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of one picture found again in another: (N, 2) pixels, and (N, 2) where they went.

    Tracked forth and back; those that do not come home are dropped.
    """
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before_rgb, after_rgb)]
    width = grey[0].shape[1]
    corners = cv2.goodFeaturesToTrack(grey[0], 400, 0.01, max(4.0, width / 80.0))
    if corners is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    window = max(9, (width // 15) | 1)
    settings: dict[str, Any] = {"winSize": (window, window), "maxLevel": 3}
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        grey[0], grey[1], corners, np.empty_like(corners), **settings
    )
    home, found_home, _ = cv2.calcOpticalFlowPyrLK(
        grey[1], grey[0], there, np.empty_like(corners), **settings
    )
    miss = np.linalg.norm((home - corners).reshape(-1, 2), axis=1)
    good = (found.ravel() == 1) & (found_home.ravel() == 1) & (miss < _BACK_AND_FORTH_PX)
    points = corners.reshape(-1, 2)[good].astype(np.float64)
    return points, there.reshape(-1, 2)[good].astype(np.float64) - points


def _check_pair(
    axis: str,
    before_rgb: NDArray[np.uint8],
    after_rgb: NDArray[np.uint8],
    moved_m: NDArray[np.float64],
) -> AxisResult:
    length_m = float(np.linalg.norm(moved_m))
    if length_m < _MIN_MOVED_M:
        return AxisResult(
            axis,
            AxisVerdict.UNCLEAR,
            f"moved {length_m * 1000:.1f} mm; needed: {_MIN_MOVED_M * 1000:g} mm",
        )
    points, flow = track(before_rgb, after_rgb)
    if len(points) < _MIN_TRACKS:
        return AxisResult(
            axis,
            AxisVerdict.UNCLEAR,
            f"{len(points)} points could be followed; needed: {_MIN_TRACKS}",
        )
    height, width = before_rgb.shape[:2]
    if abs(moved_m[2]) > float(np.hypot(moved_m[0], moved_m[1])):
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        return _judge_growth(axis, points - centre, flow, math.copysign(1.0, moved_m[2]))
    return _judge_shift(axis, flow / width, moved_m[:2] / length_m)


def _judge_shift(axis: str, flow: NDArray[np.float64], moved: NDArray[np.float64]) -> AxisResult:
    """Sideways: the scene shifts against the motion. `flow` in image widths."""
    sizes = np.linalg.norm(flow, axis=1)
    # Fingers stand still in the picture; a scene far away barely moves, but all of it does.
    moving = flow[sizes > max(0.5 * _MIN_FLOW, 0.25 * float(np.percentile(sizes, 80)))]
    if len(moving) < _MIN_TRACKS // 2 or float(np.median(sizes)) == 0.0:
        return AxisResult(axis, AxisVerdict.UNCLEAR, "the picture did not move")
    shift = np.median(moving, axis=0)
    size = float(np.linalg.norm(shift))
    if size < _MIN_FLOW:
        return AxisResult(
            axis, AxisVerdict.UNCLEAR, f"the picture moved by {size * 100:.2f} % of its width only"
        )
    expected = -moved
    cross = expected[0] * shift[1] - expected[1] * shift[0]
    turned = math.atan2(cross, float(expected @ shift))
    degrees = abs(math.degrees(turned))
    if degrees <= _AGREES_DEG:
        verdict, message = AxisVerdict.AGREES, f"agrees within {degrees:.0f} degrees"
    elif degrees >= _REVERSED_DEG:
        verdict, message = AxisVerdict.REVERSED, "reversed"
    else:
        verdict, message = AxisVerdict.TURNED, f"turned by {math.degrees(turned):+.0f} degrees"
    # A rolled camera sees the scene's motion turned the other way round.
    return AxisResult(axis, verdict, message, turned_rad=_wrapped(-turned))


def _judge_growth(
    axis: str, points: NDArray[np.float64], flow: NDArray[np.float64], forward: float
) -> AxisResult:
    """Forward: the picture grows about wherever the camera heads for; backward: it shrinks."""
    offsets = points - points.mean(axis=0)
    along = flow - np.median(flow, axis=0)
    growth = float((offsets * along).sum() / (offsets**2).sum())
    # Once more without what does not fit: points at very different depths, and false tracks.
    misfit = np.linalg.norm(along - growth * offsets, axis=1)
    kept = misfit <= max(0.5, 2.5 * float(np.median(misfit)))
    offsets, along = offsets[kept], along[kept] - np.median(along[kept], axis=0)
    growth = float((offsets * along).sum() / (offsets**2).sum())
    if abs(growth) < _MIN_GROWTH:
        return AxisResult(
            axis, AxisVerdict.UNCLEAR, f"the picture's size changed by {growth * 100:+.2f} % only"
        )
    if growth * forward > 0:
        return AxisResult(axis, AxisVerdict.AGREES, f"agrees ({growth * 100:+.1f} % in size)")
    return AxisResult(axis, AxisVerdict.REVERSED, "reversed")


def _wrapped(angle_rad: float) -> float:
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi
