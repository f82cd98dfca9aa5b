"""The settings of the nodes under fault: the shipped ones, as patient as a run asks for."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from fault_measure import patience
from vinn.robot.config import ExecutorConfig
from vinn_ros.paths import config_directory
from vinn_ros.supervisor.node import RolloutSupervisorNode

SETTINGS = (
    # The fake camera's picture does not move with the robot.
    "rollout_supervisor.sign_check='off'",
    "vinn_policy.min_sharpness=30.0",
    "rollout_supervisor.min_free_mib=0",
    "stretch_executor.service_timeout_s=1.5",
)


def patient_settings(directory: Path) -> tuple[str, ...]:
    """Settings that make the shipped watchdogs as patient as a test run asks for."""
    factor = patience()
    config = config_directory()
    shipped = yaml.safe_load((config / "door_opening.yaml").read_text())
    lease_s = shipped["/**/stretch_executor"]["ros__parameters"]["lease_s"]
    supervisor = {p.name: p.default for p in RolloutSupervisorNode.PARAMETERS}
    supervisor |= shipped["/**/rollout_supervisor"]["ros__parameters"]
    robot = yaml.safe_load((config / "robot" / "stretch.yaml").read_text())
    executor = robot.setdefault("executor", {})
    executor["max_state_age_s"] = factor * executor.get(
        "max_state_age_s", ExecutorConfig().max_state_age_s
    )
    # A reset between two rows need not back away from a door.
    executor["retreat_m"] = 0.0
    path = directory / "robot" / "stretch.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(robot))
    shutil.copy(config / "robot" / "tools.yaml", path.parent)
    timeouts = (
        "prediction_timeout_s",
        "policy_timeout_s",
        "camera_timeout_s",
        "executor_timeout_s",
    )
    return (
        f"stretch_executor.robot_config={path}",
        f"rollout_supervisor.robot_config={path}",
        f"stretch_executor.lease_s={factor * lease_s}",
        f"vinn_policy.max_image_age_s={factor * 0.3}",
        *(f"rollout_supervisor.{name}={factor * supervisor[name]}" for name in timeouts),
    )
