"""Settings of the executor that an operator may change while no rollout runs."""

from __future__ import annotations

from collections.abc import Mapping

from vinn.reading.config_file import validated
from vinn.robot.config import RobotConfig

from vinn_ros.node.parameters import Parameter

AS_CONFIGURED = -1.0
"""Value of a tuning parameter that leaves the robot's configuration as it is."""


def _tuning(name: str, description: str, upper: float) -> Parameter:
    return Parameter(
        name,
        AS_CONFIGURED,
        f"{description}; -1: as configured; not during a rollout",
        lower=AS_CONFIGURED,
        upper=upper,
        run_time=True,
    )


_THRESHOLDS = (
    _tuning("scale_right", "c to the gripper's right, in metres for unit actions", 1.0),
    _tuning("scale_forward", "c along the gripper", 1.0),
    _tuning("scale_up", "c upwards", 1.0),
    _tuning("gripper_close_above", "gripper value at which it closes", 3.0),
    _tuning("gripper_open_below", "gripper value below which it opens", 3.0),
)
ATTEMPTS = Parameter(
    "gripper_attempts",
    0,
    "closings on nothing allowed in a rollout, 1: no second try; 0: as configured; not during a "
    "rollout",
    lower=0,
    upper=1000,
    run_time=True,
)
TUNING = (*_THRESHOLDS, ATTEMPTS)
_AXES = ("scale_right", "scale_forward", "scale_up")


def tuned(config: RobotConfig, values: Mapping[str, float]) -> RobotConfig:
    """A configuration with the tuning parameters in it.

    Raises:
        vinn.errors.ConfigError: they do not fit together, e.g. opening above closing.
    """

    def pick(name: str, configured: float) -> float:
        given = values.get(name, AS_CONFIGURED)
        return configured if given < 0.0 else given

    scale = tuple(pick(n, c) for n, c in zip(_AXES, config.motion.scale, strict=True))
    attempts = int(values.get(ATTEMPTS.name, 0))
    gripper: dict[str, float] = {
        "attempts": attempts if attempts > 0 else config.gripper.attempts,
        "close_above": pick("gripper_close_above", config.gripper.close_above),
        "open_below": pick("gripper_open_below", config.gripper.open_below),
    }
    content = config.model_dump()
    content["motion"] |= {"scale": scale}
    content["gripper"] |= gripper
    return validated(RobotConfig, content, "tuning")
