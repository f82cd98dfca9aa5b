"""Rendering without a display: one renderer per thread and size, made when first needed.

Software renders as much as it is given, so it is given no more than shows: no buffer larger than
the picture, and no mesh that is out of view. Both leave every pixel as it is.
"""

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
            renderer = _renderer_of_size(self._model, width_px, height_px)
            by_size[(width_px, height_px)] = renderer
            _close_before_egl_ends()
            self._all.append(renderer)
        renderer.update_scene(data, camera)
        _leave_out_what_is_out_of_view(renderer.scene, self._model, width_px / height_px)
        image: NDArray[np.uint8] = renderer.render()
        return image


_making = threading.Lock()


def _renderer_of_size(model: mujoco.MjModel, width_px: int, height_px: int) -> mujoco.Renderer:
    """A renderer with a buffer of the picture's size, where MuJoCo takes the model's largest."""
    whole = model.vis.global_
    with _making:
        largest = whole.offwidth, whole.offheight
        try:
            whole.offwidth = min(width_px, largest[0])
            whole.offheight = min(height_px, largest[1])
            renderer = mujoco.Renderer(model, height_px, width_px)
        finally:
            whole.offwidth, whole.offheight = largest
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
    return renderer


def _leave_out_what_is_out_of_view(
    scene: mujoco.MjvScene, model: mujoco.MjModel, aspect: float
) -> None:
    """Take the meshes away whose bounding spheres are outside the camera's field of view."""
    eye = scene.camera[0]
    if eye.orthographic:
        return
    meshes = [
        geom
        for geom in scene.geoms[: scene.ngeom]
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM
    ]
    if not meshes:
        return
    forward, up = eye.forward.astype(np.float64), eye.up.astype(np.float64)
    # Both eyes' mean, from which MuJoCo draws a single picture.
    position = (scene.camera[0].pos + scene.camera[1].pos) / 2
    axes = np.array([np.cross(forward, up), up, forward])
    centre = (np.array([geom.pos for geom in meshes]) - position) @ axes.T
    radius = model.geom_rbound[[geom.objid for geom in meshes]]
    half_width = aspect * (eye.frustum_top - eye.frustum_bottom) / 2
    inside = centre[:, 2] + radius > eye.frustum_near
    for axis, low, high in (
        (0, eye.frustum_center - half_width, eye.frustum_center + half_width),
        (1, eye.frustum_bottom, eye.frustum_top),
    ):
        for limit, side in ((low, 1.0), (high, -1.0)):
            slope = limit / eye.frustum_near
            beyond = side * (centre[:, axis] - slope * centre[:, 2])
            inside &= beyond > -radius * np.hypot(1.0, slope)
    for geom, shows in zip(meshes, inside, strict=True):
        if not shows:
            geom.dataid = -1  # a mesh that MuJoCo has not got is not drawn


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
