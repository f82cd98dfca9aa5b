"""From what the policy wants to what may be sent, in one fixed order of pure functions.

Finite and shape check, freshness, novelty gate, gripper state machine, rotation to the gripper's
axes, scale c ⊙ a, step clip, inverse kinematics, joint limits with margin, self-collision check,
command. The finite check stands first because NaN passes every clamp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.robot.collision import check_motion, clearances, way
from vinn.robot.config import RobotConfig
from vinn.robot.gripper import GripperMemory, decide_gripper, gripper_signal
from vinn.robot.held_targets import HeldTargets, held_targets
from vinn.robot.ik import JointIncrement, pose_ik, translation_fk, translation_ik
from vinn.robot.kinematics import (
    base_R_gripper,
    base_T_gripper,
    gripper_R_camera,
    rotation_from_vector,
    yaw_axis_p_grasp,
)
from vinn.robot.limits import clamp, effective_limits, with_margin
from vinn.robot.request_checks import check_finite, check_fresh, check_novelty, check_refusal
from vinn.robot.types import (
    JointCommand,
    JointLimits,
    JointRange,
    ReasonCode,
    RobotState,
    StepRequest,
)

_SHARES = (1.0, 0.5, 0.25, 0.0)
"""Parts of a wanted translation that are tried until the whole motion is no longer than a step."""

_COLLISION_JOINTS = ("lift_m", "arm_m", "wrist_yaw_rad", "wrist_pitch_rad", "wrist_roll_rad")

SMALLEST_BASE_MOTION_M = 1e-6


@dataclass(frozen=True)
class FilterMemory:
    """What the filter remembers from step to step; the executor keeps it, the filter never does."""

    gripper: GripperMemory = field(default_factory=GripperMemory)
    held: HeldTargets | None = None
    base_origin_m: tuple[float, float] | None = None
    """Base position by odometry where the session began."""
    attempts: int | None = None
    """Closings on nothing that are allowed in the session; None: as configured."""


@dataclass(frozen=True)
class Decision:
    """What the filter made of a request.

    `command` None: nothing may be sent, for `reason`. A command with reason UNREACHABLE was cut
    short by a limit.
    """

    reason: ReasonCode
    message: str
    memory: FilterMemory
    command: JointCommand | None = None
    gripper_changes: bool = False
    missed: bool = False
    """The gripper had closed on nothing and is opened again."""
    requested_base_delta_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) after rotation and scale, before any clip."""
    sent_base_delta_m: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """(3,) what the command moves."""


def clip_length(vector: NDArray[np.float64], longest: float) -> NDArray[np.float64]:
    """`vector` shortened to `longest`, its direction kept. The vector must be finite."""
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)


def limit_target(
    name: str, target: float, measured: float, allowed: JointRange, cap: float
) -> tuple[float, str | None]:
    """A target within the limits and within `cap` of what is measured (no wind-up).

    Returns:
        The target, and why there is none that satisfies both (then the target is meaningless).
    """
    limited = clamp(target, JointRange(measured - cap, measured + cap))
    limited = clamp(limited, allowed)
    if abs(limited - measured) > cap + 1e-9:
        return limited, (
            f"{name}: measured {measured:.3f} is more than a step outside "
            f"{allowed.lower:.3f}..{allowed.upper:.3f}"
        )
    return limited, None


class MotionFilter:
    """The chain for one robot: its settings, limits and constant rotations. Moves nothing."""

    def __init__(self, config: RobotConfig, limits: JointLimits) -> None:
        """Args: settings, and the limits as the robot reports them.

        Raises:
            vinn.errors.ConfigError: the tool profile's limits exclude the robot's.
        """
        self.config = config
        self.limits = with_margin(
            effective_limits(limits, config.tool.limits.joint_limits()),
            config.motion.limit_margin_m,
            config.motion.limit_margin_rad,
        )
        self._gripper_R_camera = gripper_R_camera(config.camera)
        mount = config.camera
        self._gripper_p_camera_m = np.array([mount.right_m, mount.forward_m, mount.up_m])

    def filter(
        self, request: StepRequest, state: RobotState, memory: FilterMemory | None = None
    ) -> Decision:
        """What may be sent for `request`, the robot being in `state`. Pure: same in, same out."""
        memory = memory or FilterMemory()
        motion = self.config.motion

        problem = check_finite(request)
        if problem:
            return Decision(ReasonCode.INVALID_INPUT, problem, memory)
        unit = ActionScale.METRIC if request.driven else motion.action_scale
        if request.action_scale is not None and request.action_scale != unit:
            return Decision(
                ReasonCode.INVALID_INPUT,
                f"action_scale: {request.action_scale.value}; "
                f"allowed: {unit.value} ({'by hand' if request.driven else 'as configured'})",
                memory,
            )
        problem = check_fresh(request.image_age_s, motion)
        if problem:
            return Decision(ReasonCode.STALE_INPUT, problem, memory)
        problem = check_novelty(request.novelty, motion)
        if problem:
            return Decision(ReasonCode.NOVEL, problem, memory)
        refused = check_refusal(request)
        if refused:
            return Decision(*refused, memory)

        allowed = memory.attempts or self.config.gripper.attempts
        if memory.gripper.misses >= allowed:
            return Decision(ReasonCode.NO_GRASP, _no_grasp(memory.gripper.misses, allowed), memory)
        signal = gripper_signal(
            request.gripper_value, request.gripper_probabilities, self.config.gripper
        )
        gripper = decide_gripper(
            memory.gripper, signal, state.gripper_aperture_m, self.config.gripper
        )
        changes = gripper.closed != memory.gripper.closed
        missed = gripper.misses > memory.gripper.misses
        given_up = missed and gripper.misses >= allowed

        scale = np.ones(3) if request.driven else np.asarray(motion.scale)
        requested_gripper_m = scale * (
            self._gripper_R_camera @ request.camera_delta.astype(np.float64)
        )
        held = held_targets(state, memory.held, motion)
        rotation = base_R_gripper(held.wrist_yaw_rad, held.wrist_pitch_rad, held.wrist_roll_rad)
        frozen = given_up or (changes and motion.freeze_on_gripper_change and not missed)
        held_memory = replace(memory, held=held)
        requested_base_m = rotation @ requested_gripper_m
        plain_m = np.zeros(3) if frozen else clip_length(requested_base_m, motion.step_cap_m)
        if motion.wrist == "move" and not frozen:
            turn = self._gripper_turn(request.camera_rotation_rad)
            # The camera, not the grasp centre, moves as the policy says.
            lever_m = self._gripper_p_camera_m - turn @ self._gripper_p_camera_m
            requested_base_m = rotation @ (requested_gripper_m + lever_m)
            wanted_m = clip_length(requested_base_m, motion.step_cap_m)
            decision = self._limit_pose(wanted_m, turn, gripper.closed, state, held, held_memory)
            if decision.command is None:
                left_out = f"the turn is left out: {decision.message}"
                decision = self.limit(plain_m, gripper.closed, state, held_memory)
                decision = replace(decision, message=decision.message or left_out)
        else:
            decision = self.limit(plain_m, gripper.closed, state, held_memory)
        if given_up:
            said = _no_grasp(gripper.misses, allowed)
            decision = replace(decision, reason=ReasonCode.NO_GRASP, message=said)
        # A refused motion leaves the gripper as it was: nothing is sent.
        return replace(
            decision,
            memory=replace(decision.memory, gripper=gripper) if decision.command else memory,
            gripper_changes=changes and decision.command is not None,
            missed=missed and decision.command is not None,
            requested_base_delta_m=requested_base_m,
        )

    def _gripper_turn(self, camera_rotation_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """(3, 3) turn of the gripper in its own axes for one of the camera, within the cap."""
        turn_rad = clip_length(
            self._gripper_R_camera @ camera_rotation_rad.astype(np.float64),
            self.config.motion.wrist_cap_rad,
        )
        return rotation_from_vector(turn_rad)

    def _limit_pose(
        self,
        wanted_base_m: NDArray[np.float64],
        gripper_turn: NDArray[np.float64],
        gripper_closed: bool,
        state: RobotState,
        held: HeldTargets,
        memory: FilterMemory,
    ) -> Decision:
        """A step of all six degrees of freedom from the targets that are held.

        Where limits keep the wrist from turning as wanted, the grasp centre still goes where it
        shall.
        """
        geometry = self.config.tool.geometry
        target = base_T_gripper(
            held.lift_m,
            held.arm_m,
            held.wrist_yaw_rad,
            held.wrist_pitch_rad,
            held.wrist_roll_rad,
            geometry,
        )
        target[:3, 3] += wanted_base_m
        target[:3, :3] = target[:3, :3] @ gripper_turn
        solution = pose_ik(target, geometry, held.wrist_yaw_rad)
        wrist = (solution.wrist_yaw_rad, solution.wrist_pitch_rad, solution.wrist_roll_rad)
        return self.limit(
            wanted_base_m, gripper_closed, state, memory, wrist, keep_grasp_centre=True
        )

    def limit(
        self,
        wanted_base_m: NDArray[np.float64],
        gripper_closed: bool,
        state: RobotState,
        memory: FilterMemory,
        wrist_rad: tuple[float, float, float] | None = None,
        keep_grasp_centre: bool = False,
    ) -> Decision:
        """The last stages: IK, limits with margin, collision check, command.

        The grasp centre never goes farther than a step: where a turn of the wrist, or limits that
        push a joint back, carry it along, less is left for the translation.

        Args:
            wanted_base_m: (3,) translation in base axes, finite, at most one step long [m].
            gripper_closed: what to command the gripper.
            state: what is measured.
            memory: held targets and base origin.
            wrist_rad: new (yaw, pitch, roll) targets; None holds the wrist.
            keep_grasp_centre: `wanted_base_m` is the grasp centre's translation, whatever the wrist
                does; else it is that of the wrist, about which the gripper turns.
        """
        for share in _SHARES:
            decision = self._limit_once(
                share * wanted_base_m, gripper_closed, state, memory, wrist_rad, keep_grasp_centre
            )
            length_m = float(np.linalg.norm(decision.sent_base_delta_m))
            if decision.command is None or length_m <= self.config.motion.step_cap_m + 1e-9:
                return decision
        return Decision(
            ReasonCode.UNREACHABLE,
            f"to be within limits the gripper would have to move {length_m * 1000:.0f} mm at once; "
            f"allowed: {self.config.motion.step_cap_m * 1000:.0f} mm",
            memory,
        )

    def _limit_once(
        self,
        wanted_base_m: NDArray[np.float64],
        gripper_closed: bool,
        state: RobotState,
        memory: FilterMemory,
        wrist_rad: tuple[float, float, float] | None,
        keep_grasp_centre: bool,
    ) -> Decision:
        """As `limit`, whatever the length of what comes of it."""
        motion, limits, tool = self.config.motion, self.limits, self.config.tool
        held = held_targets(state, memory.held, motion)
        yaw, pitch, roll = wrist_rad or (
            held.wrist_yaw_rad,
            held.wrist_pitch_rad,
            held.wrist_roll_rad,
        )
        targets: dict[str, float] = {}

        def limit_joint(name: str, target: float, cap: float) -> str | None:
            targets[name], problem = limit_target(
                name, target, getattr(state, name), getattr(limits, name), cap
            )
            return problem

        problem = (
            limit_joint("wrist_yaw_rad", yaw, motion.wrist_cap_rad)
            or limit_joint("wrist_pitch_rad", pitch, motion.wrist_cap_rad)
            or limit_joint("wrist_roll_rad", roll, motion.wrist_cap_rad)
        )
        if problem:
            return Decision(ReasonCode.UNREACHABLE, problem, memory)
        swing_m = yaw_axis_p_grasp(
            targets["wrist_yaw_rad"], targets["wrist_pitch_rad"], tool.geometry
        ) - yaw_axis_p_grasp(held.wrist_yaw_rad, held.wrist_pitch_rad, tool.geometry)
        wanted = translation_ik(wanted_base_m - swing_m if keep_grasp_centre else wanted_base_m)
        problem = limit_joint(
            "lift_m", held.lift_m + wanted.lift_m, motion.step_cap_m
        ) or limit_joint("arm_m", held.arm_m + wanted.arm_m, motion.step_cap_m)
        if problem:
            return Decision(ReasonCode.UNREACHABLE, problem, memory)
        base_m = self._limit_base(
            max(-motion.step_cap_m, min(wanted.base_translate_m, motion.step_cap_m)), state, memory
        )

        end = np.array([targets[name] for name in _COLLISION_JOINTS])
        start = np.array([getattr(state, name) for name in _COLLISION_JOINTS])
        hit = check_motion(clearances(way(start, end), tool.geometry, motion.collision))
        if hit:
            return Decision(ReasonCode.SELF_COLLISION, f"the gripper would touch: {hit}", memory)

        aperture = (
            tool.gripper_closed_aperture_m if gripper_closed else tool.gripper_open_aperture_m
        )
        command = JointCommand(
            **targets,
            gripper_aperture_m=clamp(aperture, limits.gripper_aperture_m),
            base_translate_m=base_m,
            loaded=gripper_closed,
        )
        sent_base_m = translation_fk(
            JointIncrement(
                base_translate_m=base_m,
                arm_m=targets["arm_m"] - held.arm_m,
                lift_m=targets["lift_m"] - held.lift_m,
            )
        )
        moved_m = sent_base_m + swing_m
        reason, message = self._judge_reach(
            wanted_base_m, moved_m if keep_grasp_centre else sent_base_m
        )
        return Decision(
            reason,
            message,
            replace(memory, held=HeldTargets(**targets)),
            command=command,
            sent_base_delta_m=moved_m,
        )

    def _limit_base(self, wanted_m: float, state: RobotState, memory: FilterMemory) -> float:
        """Base increment that stays within `base_travel_m` of where the session began."""
        # Rounding of a rotation is not a motion: a driver would re-anchor the base for it.
        if abs(wanted_m) < SMALLEST_BASE_MOTION_M:
            return 0.0
        if memory.base_origin_m is None:
            return wanted_m
        dx = state.base_x_m - memory.base_origin_m[0]
        dy = state.base_y_m - memory.base_origin_m[1]
        along = dx * math.cos(state.base_theta_rad) + dy * math.sin(state.base_theta_rad)
        travel = self.config.motion.base_travel_m
        end = clamp(along + wanted_m, JointRange(min(-travel, along), max(travel, along)))
        return end - along

    def _judge_reach(
        self, wanted_m: NDArray[np.float64], sent_m: NDArray[np.float64]
    ) -> tuple[ReasonCode, str]:
        """UNREACHABLE where limits left less than the configured part of a wanted translation."""
        length = float(np.linalg.norm(wanted_m))
        if length < 1e-4:
            return ReasonCode.NONE, ""
        reached = float(wanted_m @ sent_m) / length**2
        if reached >= self.config.motion.min_reached_fraction:
            return ReasonCode.NONE, ""
        return (
            ReasonCode.UNREACHABLE,
            f"limits leave {reached * 100:.0f} % of a step of {length * 1000:.0f} mm",
        )


def _no_grasp(misses: int, allowed: int) -> str:
    times = "once" if misses == 1 else f"{misses} times"
    return f"closed on nothing {times}; allowed: {allowed}"
