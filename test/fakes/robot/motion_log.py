"""What a fake driver saw of motion: every command in order, and which of them moved something."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import stretch_joints as sj

_HOLD_M = 0.002
"""Targets no farther than this from what was published lately move nothing: a hold [m or rad]."""
_REMEMBERED = 30
"""Published poses that a hold may name: one second's."""


@dataclass(frozen=True)
class MotionCommand:
    """One command that was received, whether or not it was obeyed."""

    steady_s: float
    path: str
    """streaming or trajectory."""
    targets: Mapping[str, float]
    """Joint -> target [m, rad], base joints -> increment; the gripper as an aperture [m]."""
    refused: str
    """Why it was not obeyed; empty: it was."""
    hold: bool
    """Its targets are a pose that was published lately: it stops the joints."""
    vector: tuple[float, ...] = ()
    """joint_pose_cmd as it came."""
    thresholds: Mapping[str, float] | None = None
    """Joint -> guarded-contact threshold [percent]; None: none given."""


class MotionLog:
    """Commands as they come, held against the poses that were published lately."""

    def __init__(self) -> None:
        self.commands: list[MotionCommand] = []
        self._published: deque[dict[str, float]] = deque(maxlen=_REMEMBERED)

    def published(self, pose: Mapping[str, float]) -> None:
        """Remember a pose that a hold may name."""
        self._published.append(dict(pose))

    def record(
        self,
        path: str,
        targets: Mapping[str, float],
        refused: str = "",
        vector: tuple[float, ...] = (),
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        """Remember a motion command."""
        now_s = time.monotonic()
        hold = any(
            all(
                abs(value) < 1e-6
                if name in (sj.TRANSLATE, sj.ROTATE)
                else abs(value - pose[name]) <= _HOLD_M or name == sj.GRIPPER
                for name, value in targets.items()
            )
            for pose in list(self._published)
        )
        self.commands.append(
            MotionCommand(now_s, path, dict(targets), refused, hold, vector, thresholds)
        )

    def motions(self) -> list[MotionCommand]:
        """Accepted commands that move something."""
        return [c for c in list(self.commands) if not c.refused and not c.hold]

    @property
    def last_motion_s(self) -> float:
        motions = self.motions()
        return motions[-1].steady_s if motions else -math.inf
