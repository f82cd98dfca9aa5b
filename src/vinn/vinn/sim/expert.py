"""The scripted expert: sees the ground truth, speaks only the language of demonstrations.

Each step is a translation in the camera's frame and one of the paper's four gripper states
(section III-C): open on the way, almost open close to the handle, almost closed and closed while
standing still, closed while following the door's arc.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import GripperState
from vinn.sim.world import FULLY_OPENED_RAD, DoorWorld

GRASP_DEPTH_M = 0.014
"""How far the point between the finger tips goes past the bar: the pads lie behind that point."""
ALIGN_BEFORE_M = 0.055
"""In front of the handle the fingers must have it between them before they go on."""
ALIGNED_M = 0.012
NEAR_M = 0.055
ARRIVED_M = 0.010
SHORTEST_STEP_M = 0.008
OPEN_FURTHER_RAD = math.radians(6.0)


@dataclass(frozen=True)
class ExpertStep:
    """What the expert wants: as a demonstration stores it."""

    camera_delta_m: NDArray[np.float64]
    """(3,) translation in the camera's optical frame [m]."""
    gripper: GripperState


class _Phase(Enum):
    APPROACH = 0
    CLOSE = 1
    HOLD = 2
    PULL = 3
    DONE = 4


class DoorExpert:
    """Opens the door of one episode; ask `next_step` after every executed step.

    Args:
        world: reset to the start of the episode.
        seed: of the step length and the disturbance.
    """

    def __init__(self, world: DoorWorld, seed: int) -> None:
        self._world = world
        self._rng = np.random.default_rng([seed, 0xE0])
        self._step_m = float(self._rng.uniform(*world.scene.difficulty.expert_step_m))
        self._phase = _Phase.APPROACH
        self._grip_offset_m = np.zeros(3)
        self._cabinet_axes = world.scene.world_T_cabinet()[:3, :3]

    def next_step(self) -> ExpertStep | None:
        """The next step; None when the door is open well past `fully_opened`."""
        if self._phase is _Phase.APPROACH:
            delta = self._approach()
            if delta is not None:
                near = np.linalg.norm(self._to_grasp()) < NEAR_M
                return self._step(delta, GripperState.ALMOST_OPEN if near else GripperState.OPEN)
            self._phase = _Phase.CLOSE
        if self._phase is _Phase.CLOSE:
            self._phase = _Phase.HOLD
            return self._step(np.zeros(3), GripperState.ALMOST_CLOSED)
        if self._phase is _Phase.HOLD:
            self._phase = _Phase.PULL
            return self._step(np.zeros(3), GripperState.CLOSED)
        if self._phase is _Phase.PULL and np.any(self._grip_offset_m == 0.0):
            self._grip_offset_m = self._world.grasp_center_m - self._world.handle_m
        if self._world.door_angle_rad >= FULLY_OPENED_RAD + OPEN_FURTHER_RAD:
            self._phase = _Phase.DONE
        if self._phase is _Phase.DONE:
            return None
        return self._step(self._pull(), GripperState.CLOSED)

    def _to_grasp(self) -> NDArray[np.float64]:
        """(3,) from the grasp centre to where it shall close, in cabinet axes [m]."""
        world = self._world
        delta = self._cabinet_axes.T @ (world.handle_m - world.grasp_center_m)
        delta[1] += GRASP_DEPTH_M
        return delta

    def _approach(self) -> NDArray[np.float64] | None:
        """(3,) next translation in the world, or None when the fingers are around the handle."""
        delta = self._to_grasp()
        right, forward, up = delta
        sideways = math.hypot(right, up)
        if forward < ARRIVED_M and sideways < ALIGNED_M:
            return None
        if sideways > ALIGNED_M:
            delta[1] = min(forward - ALIGN_BEFORE_M, forward)
        step = self._limited(delta)
        step = step + self._world.scene.difficulty.expert_noise_m * self._rng.standard_normal(3)
        return self._cabinet_axes @ step

    def _pull(self) -> NDArray[np.float64]:
        """(3,) next translation in the world along the door's arc."""
        world = self._world
        radius = world.scene.cabinet.door_width_m - world.scene.cabinet.handle.inset_m
        angle = world.door_angle_rad + self._step_m / radius
        return self._limited(world.handle_at(angle) + self._grip_offset_m - world.grasp_center_m)

    def _limited(self, delta_m: NDArray[np.float64]) -> NDArray[np.float64]:
        length = float(np.linalg.norm(delta_m))
        if length < 1e-9:
            return delta_m
        # A short step looks like a stop to a policy that averages it with others.
        wanted = min(max(length, SHORTEST_STEP_M), self._step_m)
        return delta_m * (wanted / length)

    def _step(self, world_delta_m: NDArray[np.float64], gripper: GripperState) -> ExpertStep:
        return ExpertStep(self._world.world_R_camera.T @ world_delta_m, gripper)
