"""One episode of the expert, acting through the same motion filter and executor as a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.robot.config import RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, StepRequest
from vinn.sim.driver import SimulatedStretch
from vinn.sim.expert import DoorExpert
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

STEP_LIMIT = 60

WorldObserver = Callable[[DoorWorld], None]


@dataclass(frozen=True)
class ExpertEpisode:
    """What the expert showed. T steps; frame i was seen before step i.

    Attributes:
        frames_rgb: T images, (H, W, 3) uint8.
        camera_delta_m: (T, 3) float32.
        gripper: (T,) int8, the paper's states 0..3.
        success: the door was opened to at least 60 degrees by a grasped handle.
        reason: why it ended early; NONE if it did not.
    """

    frames_rgb: tuple[NDArray[np.uint8], ...]
    camera_delta_m: NDArray[np.float32]
    gripper: NDArray[np.int8]
    success: bool
    reason: ReasonCode


def robot_config(scene: SceneConfig) -> RobotConfig:
    """The robot side's settings that fit a simulated scene."""
    return RobotConfig(tool=scene.tool, camera=scene.camera.mount, start_pose=scene.start_pose)


def step_executor(
    world: DoorWorld, config: RobotConfig | None = None, on_wait: WorldObserver | None = None
) -> StepExecutor:
    """An executor that moves the simulated robot.

    Args:
        world: the robot's.
        config: defaults to what fits the scene.
        on_wait: told after each piece of simulated time (20 ms by default).
    """
    config = config or robot_config(world.scene)
    driver = SimulatedStretch(world, on_wait)
    return StepExecutor(driver, MotionFilter(config, driver.limits()), config.executor)


def run_expert(
    world: DoorWorld,
    seed: int,
    on_step: WorldObserver | None = None,
    on_wait: WorldObserver | None = None,
) -> ExpertEpisode:
    """Reset the world with `seed` and let the expert open the door.

    Args:
        world: any episode that runs in it ends.
        seed: decides start, appearance and the expert's own variation.
        on_step: called after every step.
        on_wait: called after each piece of simulated time, e.g. to film.
    """
    world.reset(seed)
    executor = step_executor(world, on_wait=on_wait)
    executor.begin_session("expert")
    expert = DoorExpert(world, seed)
    frames: list[NDArray[np.uint8]] = []
    deltas: list[NDArray[np.float64]] = []
    states: list[int] = []
    reason = ReasonCode.STEP_LIMIT
    for sequence in range(STEP_LIMIT):
        step = expert.next_step()
        if step is None:
            reason = ReasonCode.NONE
            break
        frames.append(world.wrist_image())
        deltas.append(step.camera_delta_m)
        states.append(int(step.gripper))
        result = executor.execute(
            StepRequest(
                session="expert",
                sequence=sequence,
                camera_delta=step.camera_delta_m,
                gripper_value=float(step.gripper),
                gripper_probabilities=np.eye(4)[int(step.gripper)],
                action_scale=ActionScale.METRIC,
            )
        )
        if on_step is not None:
            on_step(world)
        if result.reason is not ReasonCode.NONE:
            reason = result.reason
            break
    return ExpertEpisode(
        frames_rgb=tuple(frames),
        camera_delta_m=np.array(deltas, dtype=np.float32).reshape(-1, 3),
        gripper=np.array(states, dtype=np.int8),
        success=world.grasped and world.fully_opened,
        reason=reason,
    )
