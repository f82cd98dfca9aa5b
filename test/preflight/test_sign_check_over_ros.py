"""A reset of the whole simulated system with the camera right way up, and upside down."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
pytest.importorskip("mujoco", reason="needs the simulation")

from std_srvs.srv import Trigger
from vinn_ros.bringup.graph import door_opening, with_settings
from vinn_ros.executor.node import StretchExecutorNode
from vinn_ros.sim.node import StretchSimNode
from vinn_ros.supervisor.node import RolloutSupervisorNode

from vinn_msgs.msg import RolloutStatus

pytestmark = [pytest.mark.ros, pytest.mark.physics]
NODES: dict[str, Callable[[list[str]], Any]] = {
    "stretch_sim": StretchSimNode,
    "stretch_executor": StretchExecutorNode,
    "rollout_supervisor": RolloutSupervisorNode,
}


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_reset_checks_how_the_camera_is_mounted(
    ros: Any, tmp_path: Any, upside_down: bool
) -> None:
    os.environ.setdefault("MUJOCO_GL", "egl")
    specs = with_settings(
        door_opening("sim", recordings=str(tmp_path)),
        [
            "rollout_supervisor.sign_check=every",
            "stretch_sim.overview_rate_hz=0.0",
            # All of it shares this process with the physics.
            "stretch_executor.lease_s=5.0",
            f"stretch_sim.camera_misroll_rad={3.1416 if upside_down else 0.0}",
        ],
    )
    for spec in specs:
        if spec.name in NODES:
            ros.add(NODES[spec.name](spec.ros_arguments()))
    statuses = ros.listen(RolloutStatus, "supervisor/status")
    answer = ros.call(Trigger, "supervisor/reset", timeout_s=120.0)
    told = [status.message for status in statuses]
    for axis in "xyz":
        assert f"checking the camera's {axis} axis" in told
    if not upside_down:
        assert answer.success, answer.message
        ros.wait_for(lambda: statuses[-1].state == RolloutStatus.READY)
        return
    assert not answer.success
    assert answer.message.startswith("CAMERA_REVERSED: x: reversed; y: reversed; z: agrees")
    ros.wait_for(lambda: statuses[-1].state == RolloutStatus.IDLE)
    assert statuses[-1].reason == "CAMERA_REVERSED"
