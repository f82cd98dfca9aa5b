"""Parameters of the executor."""

from __future__ import annotations

from vinn_ros.drivers.pose_command import AUTO, GRIPPER_UNITS
from vinn_ros.drivers.registry import DRIVERS
from vinn_ros.node.parameters import Parameter
from vinn_ros.tuning import TUNING

PARAMETERS = (
    Parameter("robot_config", "", "YAML file of vinn.robot: tool, filter, executor, start"),
    Parameter("driver", "streaming", "how the robot is reached", choices=tuple(DRIVERS)),
    Parameter("pose_layout", [AUTO], "entries of joint_pose_cmd, in order; auto: by the tool"),
    Parameter(
        "gripper_unit", "finger_rad", "unit of joint_pose_cmd's gripper", choices=GRIPPER_UNITS
    ),
    Parameter(
        "lease_s",
        0.5,
        "a supervisor/status older than this ends a step",
        unit="s",
        lower=0.05,
        upper=5.0,
    ),
    Parameter("status_rate_hz", 10.0, "rate of executor/status", unit="Hz", lower=1.0, upper=100.0),
    Parameter(
        "start_pose_file",
        "",
        "where executor/save_start keeps the joints of the start pose; empty: nowhere",
    ),
    Parameter(
        "service_timeout_s",
        5.0,
        "for an answer of the robot's services",
        unit="s",
        lower=0.1,
        upper=120.0,
    ),
    *TUNING,
)
