"""Rendering without a display: one renderer per thread and size, made when first needed."""

from __future__ import annotations

import atexit
import contextlib
import functools
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
        _alive.add(self)

    def close(self) -> None:
        """Free the OpenGL contexts. Call it in the thread that rendered."""
        for renderer in self._all:
            # The context of a thread that has ended is gone already.
            with contextlib.suppress(Exception):
                renderer.close()
        self._all.clear()
        self._local = threading.local()

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
            _close_before_egl_ends()
            self._all.append(renderer)
        renderer.update_scene(data, camera)
        image: NDArray[np.uint8] = renderer.render()
        return image


_alive: weakref.WeakSet[SceneRenderer] = weakref.WeakSet()


@functools.cache
def _close_before_egl_ends() -> None:
    """Free what is left at interpreter exit, or the renderers' finalisers would fail.

    MuJoCo registers the end of EGL with its first renderer; what is registered later runs earlier.
    """

    def close_alive() -> None:
        for renderer in list(_alive):
            renderer.close()

    atexit.register(close_alive)
