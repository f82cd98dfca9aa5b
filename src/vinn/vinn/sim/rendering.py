"""Rendering without a display: one renderer per thread and size, made when first needed."""

from __future__ import annotations

import contextlib
import threading
import weakref

import mujoco
import numpy as np
from numpy.typing import NDArray


class SceneRenderer:
    """Renders one model. OpenGL contexts belong to threads, so each thread gets its own."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._local = threading.local()
        self._all: list[mujoco.Renderer] = []
        # Also at interpreter exit, where the renderer's own finaliser would come too late.
        self.close = weakref.finalize(self, _close_all, self._all)
        """Free the OpenGL contexts. Call it in the thread that rendered; nothing renders after."""

    def render(
        self,
        data: mujoco.MjData,
        camera: str | mujoco.MjvCamera,
        width_px: int,
        height_px: int,
    ) -> NDArray[np.uint8]:
        """(height_px, width_px, 3) uint8 RGB; shadows are off, they cost six times the rest."""
        by_size = self._local.__dict__.setdefault("by_size", {})
        renderer = by_size.get((width_px, height_px))
        if renderer is None:
            renderer = mujoco.Renderer(self._model, height_px, width_px)
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            by_size[(width_px, height_px)] = renderer
            self._all.append(renderer)
        renderer.update_scene(data, camera)
        image: NDArray[np.uint8] = renderer.render()
        return image


def _close_all(renderers: list[mujoco.Renderer]) -> None:
    for renderer in renderers:
        # The context of a thread that has ended is gone already.
        with contextlib.suppress(Exception):
            renderer.close()
    renderers.clear()
