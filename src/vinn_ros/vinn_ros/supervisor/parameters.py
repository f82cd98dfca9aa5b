"""Parameters of the rollout supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vinn_ros.node.parameters import Parameter
from vinn_ros.supervisor.partners import Limits
from vinn_ros.supervisor.policy_link import PolicyLimits
from vinn_ros.supervisor.reset import SIGN_CHECKS, ResetSettings

Value = Callable[[str], Any]
"""The value of a parameter."""

_SUCCESS_FIELDS = ("opened", "fully_opened", "grasped", "operator")


def _seconds(name: str, default: float, description: str, upper: float = 60.0) -> Parameter:
    return Parameter(name, default, description, unit="s", lower=0.05, upper=upper)


PARAMETERS = (
    Parameter("rollout_config", "robot/rollout.yaml", "YAML file of vinn.rollout"),
    Parameter(
        "robot_config",
        "",
        "the executor's file: the preflight compares tool and limits; empty: it does not",
    ),
    Parameter("recordings", "runs/rollouts", "directory of the recordings"),
    Parameter("has_simulation", False, "a reset also resets the simulated scene"),
    Parameter(
        "success",
        "operator",
        "what ends a rollout: ground truth of the simulation, or the operator",
        choices=_SUCCESS_FIELDS,
    ),
    Parameter(
        "seed",
        0,
        "of start poses and scenes; setting it begins again with trial 0",
        lower=0,
        upper=2**31 - 1,
        run_time=True,
    ),
    Parameter(
        "sign_check",
        "off",
        "when a reset jogs the camera's axes and compares the picture's motion",
        choices=SIGN_CHECKS,
    ),
    Parameter("confirm_environment", False, "a reset waits for supervisor/environment_ready"),
    Parameter("step_mode", False, "each step waits for supervisor/step", run_time=True),
    Parameter(
        "min_free_mib",
        512,
        "a recording ends before the disk has less room",
        unit="MiB",
        lower=0,
        upper=2**20,
    ),
    Parameter(
        "status_rate_hz", 10.0, "rate of supervisor/status", unit="Hz", lower=4.0, upper=100.0
    ),
    _seconds("prediction_timeout_s", 1.0, "from the wish for a prediction to its arrival"),
    _seconds("policy_timeout_s", 0.35, "without a prediction a rollout halts"),
    _seconds("camera_timeout_s", 0.35, "without a frame the camera counts as lost"),
    _seconds("executor_timeout_s", 0.5, "without executor/status the executor counts as lost"),
    _seconds("step_timeout_s", 15.0, "for one step", upper=600.0),
    _seconds("reset_timeout_s", 90.0, "of a reset: for the scene, and for the robot", upper=600.0),
    _seconds("environment_timeout_s", 600.0, "for supervisor/environment_ready", upper=3600.0),
)


def policy_limits(value: Value) -> PolicyLimits:
    """How long camera and policy may be silent."""
    return PolicyLimits(
        prediction_timeout_s=value("prediction_timeout_s"),
        policy_timeout_s=value("policy_timeout_s"),
        camera_timeout_s=value("camera_timeout_s"),
    )


def partner_limits(value: Value) -> Limits:
    """How long the executor may be silent, and what counts as success."""
    success = value("success")
    return Limits(
        executor_timeout_s=value("executor_timeout_s"),
        step_timeout_s=value("step_timeout_s"),
        success="" if success == "operator" else success,
    )


def reset_settings(value: Value) -> ResetSettings:
    """What a reset does besides, and how long it waits."""
    return ResetSettings(
        timeout_s=value("reset_timeout_s"),
        sign_check=value("sign_check"),
        confirm_environment=value("confirm_environment"),
        environment_timeout_s=value("environment_timeout_s"),
    )
