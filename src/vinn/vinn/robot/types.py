"""What passes between the executor and a robot, and why a robot may stop.

Frames: `base` is Stretch's base link (x forward, y left, z up); the arm extends along -y. `gripper`
axes are (right, forward, up) as seen from behind the gripper. `camera` is the optical frame (x
right, y down, z forward). Times named `steady` are seconds of `time.monotonic()`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale


class ReasonCode(str, Enum):
    """Why a step, a start or a rollout ended as it did. The same words in every status topic."""

    NONE = "NONE"
    # ends of a rollout that are not faults
    SUCCESS = "SUCCESS"
    STEP_LIMIT = "STEP_LIMIT"
    TIME_LIMIT = "TIME_LIMIT"
    NO_GRASP = "NO_GRASP"
    OPERATOR_STOP = "OPERATOR_STOP"
    # refused requests
    BUSY = "BUSY"
    NOT_READY = "NOT_READY"
    NOT_HOMED = "NOT_HOMED"
    WRONG_MODE = "WRONG_MODE"
    WRONG_SESSION = "WRONG_SESSION"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    # refused by the preflight
    LOW_BATTERY = "LOW_BATTERY"
    WRONG_TOOL = "WRONG_TOOL"
    CAMERA_REVERSED = "CAMERA_REVERSED"
    CLOCK_DIFFERENCE = "CLOCK_DIFFERENCE"
    LOW_DISK = "LOW_DISK"
    # bad or old input
    INVALID_INPUT = "INVALID_INPUT"
    INVALID_IMAGE = "INVALID_IMAGE"
    STALE_INPUT = "STALE_INPUT"
    NOVEL = "NOVEL"
    NO_GRASP_POINT = "NO_GRASP_POINT"
    # something went away
    CAMERA_STALE = "CAMERA_STALE"
    POLICY_LOST = "POLICY_LOST"
    EXECUTOR_LOST = "EXECUTOR_LOST"
    SUPERVISOR_LOST = "SUPERVISOR_LOST"
    STATE_STALE = "STATE_STALE"
    # the robot
    RUNSTOP = "RUNSTOP"
    STALLED = "STALLED"
    UNREACHABLE = "UNREACHABLE"
    SELF_COLLISION = "SELF_COLLISION"
    ROBOT_ERROR = "ROBOT_ERROR"
    TIMEOUT = "TIMEOUT"
    LATCHED = "LATCHED"
    # the software
    DUPLICATE_NODE = "DUPLICATE_NODE"
    UNKNOWN = "UNKNOWN"
    """A word of another version of this software."""
    INTERNAL_ERROR = "INTERNAL_ERROR"

    @classmethod
    def of(cls, word: str) -> ReasonCode:
        """The reason code that a message names; UNKNOWN: this version has no such word."""
        return cls.__members__.get(word, cls.UNKNOWN)


REGULAR_ENDS = (
    ReasonCode.SUCCESS,
    ReasonCode.STEP_LIMIT,
    ReasonCode.TIME_LIMIT,
    ReasonCode.NO_GRASP,
)
"""Ends of a rollout that are no trouble."""

REFUSALS = (ReasonCode.NOVEL, ReasonCode.NO_GRASP_POINT)
"""Why a policy may ask that a prediction of its own is not acted on."""


@dataclass(frozen=True)
class RobotState:
    """One consistent reading of the robot. Every value is finite (checked where it is built)."""

    steady_s: float
    """When this reading was received (steady clock; simulated robots use simulated time)."""
    lift_m: float
    arm_m: float
    wrist_yaw_rad: float
    wrist_pitch_rad: float
    wrist_roll_rad: float
    gripper_aperture_m: float
    """Distance between the finger tips."""
    base_x_m: float
    base_y_m: float
    base_theta_rad: float
    """Base pose by odometry, in the frame in which odometry started."""
    homed: bool = True
    runstopped: bool = False
    mode: str = "position"


@dataclass(frozen=True)
class JointCommand:
    """What is sent to the robot: absolute joint targets, and base motion as an increment."""

    lift_m: float
    arm_m: float
    wrist_yaw_rad: float
    wrist_pitch_rad: float
    wrist_roll_rad: float
    gripper_aperture_m: float
    base_translate_m: float = 0.0
    """Increment along base x; never together with `base_rotate_rad`."""
    base_rotate_rad: float = 0.0
    loaded: bool = False
    """The gripper is closed and may hold something: lift, arm and base may meet resistance."""


@dataclass(frozen=True)
class JointRange:
    """Allowed interval of one joint, ends included."""

    lower: float
    upper: float


@dataclass(frozen=True)
class JointLimits:
    """Limits as the robot reports them (never the URDF's). The base has none."""

    lift_m: JointRange
    arm_m: JointRange
    wrist_yaw_rad: JointRange
    wrist_pitch_rad: JointRange
    wrist_roll_rad: JointRange
    gripper_aperture_m: JointRange


class RobotDriver(Protocol):
    """The seam to a robot: simulated, Stretch's ROS 2 driver, or stretch_body.

    One thread calls it. Nothing blocks longer than its stated time.
    """

    def state(self) -> RobotState:
        """The newest reading.

        Raises:
            vinn.errors.RobotError: no reading yet, or a joint is missing.
        """

    def limits(self) -> JointLimits:
        """Joint limits as reported by the robot."""

    def now_s(self) -> float:
        """The clock of `RobotState.steady_s`."""

    def send(self, command: JointCommand) -> JointCommand:
        """Send targets and return at once with what was really sent.

        Raises:
            vinn.errors.RobotError: refused; nothing was sent.
        """

    def hold(self) -> None:
        """Stop where it is: the measured pose becomes the target; base motion is cancelled."""

    def wait(self, seconds: float) -> None:
        """Let time pass until the next reading, or `seconds` (simulation: advances physics)."""


@dataclass(frozen=True)
class StepRequest:
    """One step wanted of the robot, as it comes from the policy."""

    session: str
    """Id of the rollout; only the active one is executed."""
    sequence: int
    """Strictly increasing within a session; each number is executed at most once."""
    camera_delta: NDArray[np.float64]
    """(3,) in the policy's action scale."""
    gripper_value: float
    """0 (open) .. 3 (closed)."""
    gripper_probabilities: NDArray[np.float64]
    """(4,)"""
    image_age_s: float = 0.0
    """Age of the image behind this step when the request arrived."""
    novelty: float = float("nan")
    refusal: ReasonCode | None = None
    """Why the policy asks not to be acted on (one of `REFUSALS`); None: it does not."""
    action_scale: ActionScale | None = None
    """Unit of `camera_delta`; refused if it is not the configured one. None: not checked."""
    driven: bool = False
    """By the operator's hand: `camera_delta` in metres, without the scale c of the policy."""
    camera_rotation_rad: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) rotation vector of the camera, in the optical frame before the step; followed where
    `motion.wrist` is move."""


@dataclass(frozen=True)
class StepResult:
    """What became of a step. `reason` NONE means: executed and arrived."""

    reason: ReasonCode
    message: str
    requested_base_delta_m: NDArray[np.float64]
    """(3,) wanted translation of the gripper in base axes after rotation and scale, unclipped."""
    sent_base_delta_m: NDArray[np.float64]
    """(3,) translation really commanded (after clip and limits); zeros if nothing was sent."""
    sent: JointCommand | None
    gripper_closed: bool
    """State of the gripper state machine after this step."""
    duration_s: float
    sent_camera_delta_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) `sent_base_delta_m` in the camera's optical axes before the step, as configured."""
    measured_camera_delta_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) how far the point between the finger tips has really moved, by joint states and
    odometry, in the same axes [m]; zeros if nothing was sent, and of a move to the start pose."""
    gripper_aperture_m: float = float("nan")
    """Between the finger tips, measured after the step; NaN if nothing was sent."""
    missed: bool = False
    """The gripper had closed on nothing and was opened again in this step."""
    attempt: int = 0
    """How often the gripper has begun to close in this session; 0 if nothing was sent."""
