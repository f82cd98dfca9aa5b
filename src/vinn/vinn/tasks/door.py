"""Door opening with Stretch: the cabinets of `vinn.sim` in turn, so that each has its share."""

from __future__ import annotations

import cv2
import numpy as np

from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import run_expert
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld
from vinn.tasks.types import Episode, TaskSettings


class DoorRecorder:
    """Keeps one world per cabinet; episode seeds go round the cabinets."""

    def __init__(self, settings: TaskSettings) -> None:
        self._settings = settings
        self._difficulty = difficulty_named(settings.difficulty)
        self._worlds: dict[str, DoorWorld] = {}

    def episode(self, seed: int) -> Episode | None:
        """Run one episode; None if the door was not opened."""
        cabinet = sorted(CABINETS)[seed % len(CABINETS)]
        if cabinet not in self._worlds:
            self._worlds[cabinet] = DoorWorld(
                SceneConfig(cabinet=CABINETS[cabinet], difficulty=self._difficulty)
            )
        shown = run_expert(self._worlds[cabinet], seed)
        if not shown.success:
            return None
        side = self._settings.image_px
        return Episode(
            tuple(_square(frame, side) for frame in shown.frames_rgb),
            shown.camera_delta_m,
            shown.gripper,
            {"cabinet": cabinet, "difficulty": self._difficulty.name},
            self._worlds[cabinet].scene.camera.fovy_rad,
        )

    def close(self) -> None:
        """Free the renderers."""
        for world in self._worlds.values():
            world.close()
        self._worlds.clear()


def _square(frame_rgb: np.ndarray, side_px: int) -> np.ndarray:
    """The whole view as a square, as an encoder's own resizing would make it."""
    return np.asarray(
        cv2.resize(frame_rgb, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8
    )
