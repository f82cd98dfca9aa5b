"""Analytic inverse kinematics for translations with a held wrist.

With the wrist held, Stretch moves its gripper along three orthogonal axes: the base drives along
its x, the arm extends along -y, the lift rises along z. A translation in base axes therefore *is*
the three joint increments; only the held wrist decides which gripper direction lands on which
joint. At yaw 0 forward is the arm; at yaw 1.53 rad, as on the original robot, it is the base.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class JointIncrement:
    """A translation of the gripper as increments of the three joints that make it [m]."""

    base_translate_m: float
    arm_m: float
    lift_m: float


def translation_ik(base_delta_m: NDArray[np.float64]) -> JointIncrement:
    """Joint increments that move the gripper by `base_delta_m` (3,) in base axes [m]."""
    x, y, z = (float(v) for v in base_delta_m)
    return JointIncrement(base_translate_m=x, arm_m=-y, lift_m=z)


def translation_fk(increment: JointIncrement) -> NDArray[np.float64]:
    """Translation of the gripper (3,) in base axes [m] made by joint increments."""
    return np.array([increment.base_translate_m, -increment.arm_m, increment.lift_m])
