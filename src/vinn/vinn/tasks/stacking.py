"""The expert of stacking: grasp the near block and set it on the far one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import GripperState
from vinn.sim.stretch_model import WristCamera
from vinn.tasks.stacking_scene import AXES, StackingScene
from vinn.tasks.types import Episode, TaskSettings

STEP_LIMIT = 100
BEFORE_BLOCK_M = 0.07
"""In front of the block the gripper must be level with it before it goes on."""
ARRIVED_M = 0.008
CLEARANCE_M = 0.02
TOUCH_M = 0.002
RETREAT_M = 0.06


class StackingRecorder:
    """Builds a scene per episode and runs the scripted expert in it."""

    def __init__(self, settings: TaskSettings) -> None:
        self._settings = settings

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the block did not end on the other one."""
        scene = StackingScene(self._settings, seed)
        try:
            return _Expert(scene).run()
        finally:
            scene.close()

    def close(self) -> None:
        """Nothing stays open between episodes."""


class _Expert:
    """Approach, grasp, lift, carry, lower, release, retreat."""

    def __init__(self, scene: StackingScene) -> None:
        self._scene = scene
        self._frames: list[NDArray[np.uint8]] = []
        self._deltas: list[NDArray[np.float64]] = []
        self._states: list[int] = []

    def run(self) -> Episode | None:
        """The episode; None if the block did not end on the other one."""
        scene = self._scene
        half = scene.blocks.half_m

        def near() -> NDArray[np.float64]:
            return scene.position_m("near")

        # Fingers level with the block and aside of it, then forward around it.
        self._go_to(lambda: near() - BEFORE_BLOCK_M * AXES[:, 1], GripperState.OPEN)
        self._go_to(near, GripperState.ALMOST_OPEN)
        for state in (GripperState.ALMOST_CLOSED, GripperState.CLOSED):
            self._act(np.zeros(3), state)
        grip = scene.center_m - near()
        up = AXES[:, 2]
        on_top = scene.position_m("far") + (half[0, 2] + half[1, 2]) * up + grip
        above = on_top + CLEARANCE_M * up
        here = scene.center_m
        self._go_to(lambda: np.array([here[0], here[1], above[2]]), GripperState.CLOSED)
        self._go_to(lambda: above, GripperState.CLOSED)
        self._go_to(lambda: on_top + TOUCH_M * up, GripperState.CLOSED)
        for state in (GripperState.ALMOST_OPEN, GripperState.OPEN):
            self._act(np.zeros(3), state)
        back = scene.center_m - RETREAT_M * AXES[:, 1]
        self._go_to(lambda: back, GripperState.OPEN)
        if not scene.stacked or len(self._frames) >= STEP_LIMIT:
            return None
        return Episode(
            tuple(self._frames),
            np.array(self._deltas, np.float32),
            np.array(self._states, np.int8),
            fovy_rad=WristCamera().fovy_rad,
        )

    def _go_to(self, target: Callable[[], NDArray[np.float64]], state: GripperState) -> None:
        """Steps of at most this episode's step length until the grasp centre is at `target()`."""
        while len(self._frames) < STEP_LIMIT:
            delta = target() - self._scene.center_m
            length = float(np.linalg.norm(delta))
            if length < ARRIVED_M:
                return
            self._act(delta * min(1.0, self._scene.step_m / length), state)

    def _act(self, world_delta_m: NDArray[np.float64], state: GripperState) -> None:
        self._frames.append(self._scene.wrist_image())
        self._deltas.append(self._scene.world_R_camera.T @ world_delta_m)
        self._states.append(int(state))
        self._scene.move(world_delta_m, closed=state >= GripperState.ALMOST_CLOSED)
