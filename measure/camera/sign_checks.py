"""The sign check of `vinn.robot` on the simulated robot, its camera mounted rightly or not."""

from __future__ import annotations

import numpy as np
from vinn.errors import RobotError
from vinn.robot.checks.sign_check import AXES, JOGS_M, SignCheck, check_axis
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, StepResult
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld


def simulated_sign_check(
    scene: SceneConfig, seed: int, misroll_rad: float = 0.0, size_px: int = 224
) -> SignCheck:
    """Go to the start pose, jog each axis of the camera, and compare with its pictures.

    Args:
        scene: what is simulated; its camera is mounted as the configuration says.
        seed: of the scene and of the start's displacement.
        misroll_rad: how far the camera is really turned about its optical axis.
        size_px: width and height of its pictures.

    Raises:
        vinn.errors.RobotError: the robot could not do the motions.
    """
    config = RobotConfig(tool=scene.tool, camera=scene.camera.mount)
    mount = CameraMount(
        tilt_rad=config.camera.tilt_rad, roll_rad=config.camera.roll_rad + misroll_rad
    )
    camera = scene.camera.model_copy(
        update={"mount": mount, "width_px": size_px, "height_px": size_px}
    )
    offset_m = np.random.default_rng([seed, 0x516]).uniform([-0.05, 0, 0], [0.05, 0, 0])
    with DoorWorld(scene.model_copy(update={"camera": camera}), seed) as world:
        robot = SimulatedStretch(world)
        executor = StepExecutor(robot, MotionFilter(config, robot.limits()), config.executor)
        _done(executor.move_to_start(scene.start_pose, offset_m))
        results = []
        for axis, jog in zip(AXES, JOGS_M, strict=True):
            before = world.wrist_image()
            there = executor.jog(np.array(jog))
            _done(there)
            away = world.wrist_image()
            back = executor.jog(-np.array(jog))
            _done(back)
            after = world.wrist_image()
            moves = [
                (before, away, there.measured_camera_delta_m),
                (away, after, back.measured_camera_delta_m),
            ]
            results.append(check_axis(axis, moves))
    return SignCheck(tuple(results))


def _done(result: StepResult) -> None:
    if result.reason is not ReasonCode.NONE:
        raise RobotError(f"sign check: {result.reason.value}: {result.message}")
