"""Settings of the robot side: tool, camera mount, motion filter, gripper, executor.

Every default is the simulated robot's value and stands in `config/robot/stretch_sim.yaml`;
`config/robot/stretch.yaml` holds the real robot's. Lengths in metres, angles in radians, times in
seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.reading.config_file import Settings, read_mapping, validated
from vinn.robot.gripper_config import GripperConfig
from vinn.robot.types import JointLimits, JointRange, ReasonCode


class CameraMount(Settings):
    """How the wrist camera looks at what the gripper does (see `kinematics.gripper_R_camera`)."""

    tilt_rad: float = Field(default=0.349, ge=-1.6, le=1.6, description="pitched down [rad]")
    roll_rad: float = Field(
        default=0.0, ge=-3.2, le=3.2, description="about the optical axis, x towards y [rad]"
    )
    right_m: float = Field(default=0.0, ge=-0.3, le=0.3, description="from the grasp centre [m]")
    forward_m: float = Field(
        default=-0.17, ge=-0.4, le=0.2, description="from the grasp centre, gripper axes [m]"
    )
    up_m: float = Field(
        default=0.085, ge=-0.2, le=0.4, description="counts only where the wrist moves [m]"
    )


class WristGeometry(Settings):
    """From the wrist yaw axis to the point between the finger tips, at pitch 0."""

    pitch_axis_up_m: float = Field(
        default=-0.02475, ge=-0.5, le=0.5, description="pitch axis above the yaw joint [m]"
    )
    grasp_forward_m: float = Field(
        default=0.26436, ge=0.0, le=1.0, description="grasp centre before the pitch axis [m]"
    )
    grasp_up_m: float = Field(
        default=-0.024, ge=-0.5, le=0.5, description="grasp centre above the pitch axis [m]"
    )


class Range(Settings):
    """Allowed interval, ends included."""

    lower: float
    upper: float

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.lower > self.upper:
            raise ValueError(f"lower {self.lower:g} is above upper {self.upper:g}")
        return self


class ToolLimits(Settings):
    """Joint limits with this tool; what the robot reports narrows them further."""

    lift_m: Range = Range(lower=0.0, upper=1.10)
    arm_m: Range = Range(lower=0.0, upper=0.52)
    wrist_yaw_rad: Range = Range(lower=-1.41, upper=4.56)
    wrist_pitch_rad: Range = Range(lower=-1.57, upper=0.45)
    wrist_roll_rad: Range = Range(lower=-2.91, upper=2.92)
    gripper_aperture_m: Range = Range(lower=-0.128, upper=0.068)

    def joint_limits(self) -> JointLimits:
        """The same as the type the motion filter works with."""
        return JointLimits(**{name: JointRange(r.lower, r.upper) for name, r in self})


class ToolProfile(Settings):
    """What the mounted tool is like. Open and closed differ per tool, so they stand here."""

    name: str = "tool_stretch_dex_wrist"
    gripper_open_aperture_m: float = Field(
        default=0.064, ge=0.0, le=0.3, description="commanded to open [m]"
    )
    gripper_closed_aperture_m: float = Field(
        default=-0.032,
        ge=-0.2,
        le=0.1,
        description="commanded to close; below 0 squeezes what is between the fingers [m]",
    )
    geometry: WristGeometry = WristGeometry()
    limits: ToolLimits = ToolLimits()
    gripper: dict[str, Any] = Field(
        default_factory=dict, description="keys of `gripper` that suit this tool"
    )

    @model_validator(mode="after")
    def _gripper_keys(self) -> ToolProfile:
        GripperConfig.model_validate(self.gripper)
        return self

    @model_validator(mode="after")
    def _opens(self) -> ToolProfile:
        if self.gripper_open_aperture_m <= self.gripper_closed_aperture_m:
            raise ValueError(
                f"gripper_open_aperture_m {self.gripper_open_aperture_m:g} must be above "
                f"gripper_closed_aperture_m {self.gripper_closed_aperture_m:g}"
            )
        return self


class CollisionConfig(Settings):
    """Keep-out volumes for the gripper, in base axes; see `vinn.robot.collision`."""

    gripper_radius_m: float = Field(
        default=0.06, ge=0.0, le=0.5, description="around the line yaw axis - finger tips [m]"
    )
    gripper_height_m: float = Field(
        default=0.03, ge=0.0, le=0.5, description="half its height, against the arm above it [m]"
    )
    finger_overhang_m: float = Field(
        default=0.03, ge=0.0, le=0.5, description="finger tips beyond the grasp centre [m]"
    )
    floor_clearance_m: float = Field(
        default=0.02, ge=0.0, le=1.0, description="lowest point above the floor [m]"
    )
    clearance_m: float = Field(default=0.01, ge=0.0, le=0.5, description="from base and mast [m]")


class MotionConfig(Settings):
    """Settings of the motion filter, in the order of its stages."""

    max_image_age_s: float = Field(
        default=0.4, gt=0.0, le=60.0, description="older images move nothing [s]"
    )
    novelty_action: Literal["halt", "warn", "off"] = Field(
        default="warn", description="what a view unlike every demonstration leads to"
    )
    novelty_limit: float = Field(
        default=1.0, gt=0.0, le=1000.0, description="novel above this [calibrated limit = 1]"
    )
    action_scale: ActionScale = Field(
        default=ActionScale.METRIC, description="unit of the policy's translations"
    )
    scale: tuple[float, float, float] = Field(
        default=(1.0, 1.0, 1.0),
        description="c for (right, forward, up): metres for unit actions, 0..1 for metric ones",
    )
    step_cap_m: float = Field(
        default=0.05, gt=0.0, le=0.2, description="longest translation of one step [m]"
    )
    wrist_cap_rad: float = Field(
        default=0.1, gt=0.0, le=0.5, description="largest wrist or base turn of one step [rad]"
    )
    wrist: Literal["hold", "move"] = Field(
        default="hold",
        description="hold: rotations of the policy are ignored; move: the wrist follows them",
    )
    freeze_on_gripper_change: bool = Field(
        default=True, description="a step that opens or closes does not translate"
    )
    resync_m: float = Field(
        default=0.03, ge=0.0, le=0.2, description="held target kept while this near [m]"
    )
    resync_rad: float = Field(
        default=0.1, ge=0.0, le=0.5, description="held target kept while this near [rad]"
    )
    limit_margin_m: float = Field(default=0.005, ge=0.0, le=0.1, description="off the limits [m]")
    limit_margin_rad: float = Field(
        default=0.02, ge=0.0, le=0.3, description="off the limits [rad]"
    )
    min_reached_fraction: float = Field(
        default=0.5, ge=0.0, le=1.0, description="less of a wanted step is UNREACHABLE [1]"
    )
    base_travel_m: float = Field(
        default=0.6, gt=0.0, le=10.0, description="base at most this far from the start [m]"
    )
    collision: CollisionConfig = CollisionConfig()

    @model_validator(mode="after")
    def _scale_fits_unit(self) -> MotionConfig:
        largest = 1.0 if self.action_scale is ActionScale.METRIC else 0.2
        if any(not 0.0 <= c <= largest for c in self.scale):
            raise ValueError(
                f"scale {self.scale} for {self.action_scale.value} actions: "
                f"each must be within 0..{largest:g}"
            )
        return self


class ExecutorConfig(Settings):
    """When a step has arrived, when it has failed, and how the start pose is reached."""

    poll_s: float = Field(default=0.02, gt=0.0, le=0.2, description="between two looks [s]")
    max_state_age_s: float = Field(
        default=0.3, gt=0.0, le=5.0, description="older joint states count as silence [s]"
    )
    modes: tuple[str, ...] = Field(
        default=("position",), min_length=1, description="robot modes in which steps may run"
    )
    arrival_lift_m: float = Field(default=0.008, gt=0.0, le=0.1, description="[m]")
    arrival_arm_m: float = Field(default=0.008, gt=0.0, le=0.1, description="[m]")
    arrival_base_m: float = Field(default=0.006, gt=0.0, le=0.1, description="[m]")
    arrival_wrist_rad: float = Field(default=0.03, gt=0.0, le=0.5, description="[rad]")
    arrival_gripper_m: float = Field(default=0.005, gt=0.0, le=0.1, description="[m]")
    loaded_arrival_m: float = Field(
        default=0.03,
        gt=0.0,
        le=0.1,
        description="lift, arm and base at rest this near have arrived while gripping [m]",
    )
    settle_window_s: float = Field(
        default=0.1, gt=0.0, le=2.0, description="at rest means: still for this long [s]"
    )
    settle_m: float = Field(default=0.001, gt=0.0, le=0.05, description="moved less than this [m]")
    settle_rad: float = Field(
        default=0.01, gt=0.0, le=0.2, description="turned less than this [rad]"
    )
    start_s: float = Field(
        default=0.3, ge=0.0, le=5.0, description="what is at rest sooner has not yet begun [s]"
    )
    no_progress_s: float = Field(
        default=1.0, gt=0.0, le=10.0, description="without coming nearer: STALLED [s]"
    )
    progress_m: float = Field(
        default=0.002, gt=0.0, le=0.05, description="nearer by this counts as progress [m or rad]"
    )
    step_timeout_s: float = Field(default=6.0, gt=0.0, le=60.0, description="of one motion [s]")
    retreat_m: float = Field(
        default=0.0, ge=0.0, le=0.5, description="straight back before returning to start [m]"
    )
    start_timeout_s: float = Field(
        default=60.0, gt=0.0, le=600.0, description="for the whole way to the start pose [s]"
    )
    start_lateral_m: float = Field(
        default=0.03, gt=0.0, le=1.0, description="sideways error of the base it cannot undo [m]"
    )
    start_travel_m: float = Field(
        default=1.0, gt=0.0, le=10.0, description="a saved base pose farther off is refused [m]"
    )
    latch_on: tuple[ReasonCode, ...] = Field(
        default=(ReasonCode.RUNSTOP, ReasonCode.STATE_STALE, ReasonCode.ROBOT_ERROR),
        description="faults after which an operator must clear the latch",
    )


class ContactThresholds(Settings):
    """Effort at which a joint gives up, of the motor's largest [%]; none: the robot's own."""

    lift_percent: float | None = Field(default=None, gt=0.0, le=100.0)
    arm_percent: float | None = Field(default=None, gt=0.0, le=100.0)
    base_percent: float | None = Field(default=None, gt=0.0, le=100.0)


class ContactConfig(Settings):
    """Guarded contact: free, and while the gripper is closed, when the pull of a door counts.

    Streaming commands carry no thresholds: there the robot's own count.
    """

    free: ContactThresholds = ContactThresholds()
    pull: ContactThresholds = ContactThresholds(arm_percent=80.0, base_percent=80.0)


class StartPose(Settings):
    """Where a rollout starts. Base pose by odometry; left out, the base starts where it stands."""

    lift_m: float = Field(default=0.6, ge=0.0, le=1.2)
    arm_m: float = Field(default=0.3, ge=0.0, le=0.6)
    wrist_yaw_rad: float = Field(default=0.0, ge=-3.2, le=5.0)
    wrist_pitch_rad: float = Field(default=0.0, ge=-1.6, le=0.6)
    wrist_roll_rad: float = Field(default=0.0, ge=-3.2, le=3.2)
    base_x_m: float | None = None
    base_y_m: float | None = None
    base_theta_rad: float | None = None

    @model_validator(mode="after")
    def _whole_base_pose(self) -> StartPose:
        given = [v is not None for v in (self.base_x_m, self.base_y_m, self.base_theta_rad)]
        if any(given) and not all(given):
            raise ValueError("base_x_m, base_y_m and base_theta_rad: give all three or none")
        return self


class RobotConfig(Settings):
    """Everything `vinn.robot` needs to know."""

    tool: ToolProfile = ToolProfile()
    camera: CameraMount = CameraMount()
    gripper: GripperConfig = GripperConfig()
    motion: MotionConfig = MotionConfig()
    executor: ExecutorConfig = ExecutorConfig()
    contact: ContactConfig = ContactConfig()
    start_pose: StartPose = StartPose()

    @model_validator(mode="before")
    @classmethod
    def _gripper_of_the_tool(cls, content: Any) -> Any:
        """The tool's gripper keys under those of the robot's own `gripper`."""
        if not isinstance(content, dict):
            return content
        tool = content.get("tool")
        suits = tool.get("gripper") if isinstance(tool, dict) else getattr(tool, "gripper", None)
        own = content.get("gripper", {})
        if not suits or not isinstance(suits, dict) or not isinstance(own, dict):
            return content
        return {**content, "gripper": _merged(suits, own)}


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two mappings in one; where both have a key, `above` counts."""
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result


def load_robot_config(path: Path | str) -> RobotConfig:
    """Read a robot configuration; `tool` is the name of a profile in `tools.yaml` beside it.

    Raises:
        ConfigError: one line naming file, key, value and what is allowed.
    """
    path = Path(path)
    content = read_mapping(path)
    if isinstance(content.get("tool"), str):
        profiles = load_tool_profiles(path.parent / "tools.yaml")
        name = content["tool"]
        if name not in profiles:
            raise ConfigError(f"{path}: tool = {name!r}; allowed: {', '.join(profiles)}")
        content = {**content, "tool": profiles[name]}
    return validated(RobotConfig, content, str(path))


def load_tool_profiles(path: Path | str) -> dict[str, ToolProfile]:
    """Tool profiles by name, as the driver's `tool` topic spells it.

    Raises:
        ConfigError: one line naming file, key, value and what is allowed.
    """
    profiles = {}
    for name, content in read_mapping(path).items():
        if not isinstance(content, dict):
            raise ConfigError(f"{path}: {name} = {content!r}; allowed: a mapping of keys")
        profiles[str(name)] = validated(ToolProfile, {"name": name, **content}, f"{path}: {name}")
    return profiles
