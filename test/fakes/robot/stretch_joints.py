"""Joints of a Stretch for the fakes: speed-limited, stoppable, with obstacles that push back."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

ARM, LIFT = "wrist_extension", "joint_lift"
YAW, PITCH, ROLL = "joint_wrist_yaw", "joint_wrist_pitch", "joint_wrist_roll"
PAN, TILT = "joint_head_pan", "joint_head_tilt"
GRIPPER = "gripper_aperture"
TRANSLATE, ROTATE = "translate_mobile_base", "rotate_mobile_base"

LIMITS = {
    ARM: (0.0, 0.52),
    LIFT: (0.0, 1.1),
    YAW: (-1.4, 4.5),
    PITCH: (-1.5, 0.4),
    ROLL: (-2.9, 2.9),
    PAN: (-3.9, 1.5),
    TILT: (-1.8, 0.4),
    GRIPPER: (-0.128, 0.068),
}
"""[m] and [rad]; narrower than the URDF's, as on a real robot."""

SPEEDS = {ARM: 0.14, LIFT: 0.11, GRIPPER: 0.1, TRANSLATE: 0.12, ROTATE: 0.5}
"""A real robot's default speeds [m/s, rad/s]; the other joints turn at 1 rad/s."""

TOLERANCES = {ARM: 0.008, LIFT: 0.015, TRANSLATE: 0.005, ROTATE: 0.02, PAN: 0.15, TILT: 0.52}
"""How near the driver wants a joint before a goal counts as reached; 0.015 for the others."""


def aperture_to_finger_rad(aperture_m: float) -> float:
    return aperture_m / 2.0 / 0.171


def finger_rad_to_aperture(finger_rad: float) -> float:
    return finger_rad * 2.0 * 0.171


def percent_to_aperture(percent: float) -> float:
    return percent * 0.09 / 70.0


def aperture_to_percent(aperture_m: float) -> float:
    return aperture_m * 70.0 / 0.09


@dataclass
class StretchJoints:
    """Positions, targets and the base's pose. Thread-safe."""

    position: dict[str, float] = field(
        default_factory=lambda: {
            ARM: 0.2,
            LIFT: 0.6,
            YAW: 0.0,
            PITCH: 0.0,
            ROLL: 0.0,
            PAN: 0.3,
            TILT: -0.4,
            GRIPPER: 0.06,
        }
    )
    base_x_m: float = 0.0
    base_y_m: float = 0.0
    base_theta_rad: float = 0.0
    pace: float = 2.0
    """Times the real robot's speeds: tests need not wait as long."""
    stuck: set[str] = field(default_factory=set)
    """Joints that do not move, TRANSLATE and ROTATE included; "all" for every one."""
    pushing: dict[str, float] = field(default_factory=dict)
    """Joint -> how hard something pushes back when it moves [percent of the motor's effort]."""
    threshold: dict[str, float] = field(default_factory=dict)
    """Joint -> guarded-contact threshold of its last command [percent]."""
    default_threshold: float = 40.0
    grip_m: float | None = None
    """Width of what is between the fingers."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.target = dict(self.position)
        self.base_left = {TRANSLATE: 0.0, ROTATE: 0.0}
        self.in_contact: set[str] = set()

    def move_to(self, joint: str, value: float, threshold: float | None = None) -> None:
        """A new target, clipped silently; NaN passes the clip, as on the robot."""
        with self.lock:
            lower, upper = LIMITS[joint]
            self.target[joint] = max(min(value, upper), lower) if value == value else value
            self._guard(joint, threshold)

    def move_base(self, joint: str, increment: float, threshold: float | None = None) -> None:
        """Drive or turn by an increment; the one before is dropped."""
        with self.lock:
            self.base_left = {TRANSLATE: 0.0, ROTATE: 0.0}
            self.base_left[joint] = increment
            self._guard(joint, threshold)

    def stop(self, *joints: str) -> None:
        """The measured pose becomes the target; without names everything stops."""
        with self.lock:
            for joint in joints or self.position:
                if joint in self.position:
                    self.target[joint] = self.position[joint]
            if not joints or TRANSLATE in joints:
                self.base_left = {TRANSLATE: 0.0, ROTATE: 0.0}

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self.lock:
            for joint, position in self.position.items():
                target = self.target[joint]
                if joint == GRIPPER and self.grip_m is not None:
                    target = max(target, self.grip_m)
                self.position[joint] = position + self._towards(joint, target - position, seconds)
            driven = self._towards(TRANSLATE, self.base_left[TRANSLATE], seconds)
            turned = self._towards(ROTATE, self.base_left[ROTATE], seconds)
            self.base_left[TRANSLATE] -= driven
            self.base_left[ROTATE] -= turned
            self.base_x_m += driven * math.cos(self.base_theta_rad)
            self.base_y_m += driven * math.sin(self.base_theta_rad)
            self.base_theta_rad += turned

    def snapshot(self) -> tuple[dict[str, float], tuple[float, float, float]]:
        """Joint positions and the base's pose at one moment."""
        with self.lock:
            return dict(self.position), (self.base_x_m, self.base_y_m, self.base_theta_rad)

    def _guard(self, joint: str, threshold: float | None) -> None:
        self.in_contact.discard(joint)
        self.threshold[joint] = self.default_threshold if threshold is None else abs(threshold)

    def _towards(self, joint: str, difference: float, seconds: float) -> float:
        if joint in self.stuck or "all" in self.stuck or joint in self.in_contact:
            return 0.0
        if difference != difference:  # a NaN target
            return 0.0
        pushed = self.pushing.get(joint, 0.0)
        if pushed > self.threshold.get(joint, self.default_threshold) and abs(difference) > 1e-4:
            # Guarded contact: the joint gives up where it is until the next command.
            self.in_contact.add(joint)
            if joint in self.target:
                self.target[joint] = self.position[joint]
            else:
                self.base_left[joint] = 0.0
            return 0.0
        reach = self.pace * SPEEDS.get(joint, 1.0) * seconds
        return math.copysign(min(abs(difference), reach), difference)
