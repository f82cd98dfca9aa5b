"""Stretch's meshes, decimated once and kept in the user's cache directory."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.errors import ConfigError
from vinn.reading.arrays import read_npz

MAX_FACES = 1500
"""Faces kept per mesh: software rendering of the wrist view stays near 10 ms."""

_STL_FACET = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])


def decimated_mesh(stl_path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (V, 3) [m] and triangles (F, 3) of a mesh with at most about `MAX_FACES` faces.

    Raises:
        ConfigError: the file is not a binary STL.
    """
    cached = _cache_directory() / f"{stl_path.stem}.npz"
    if cached.exists():
        content = read_npz(cached, ConfigError, ("vertices", "faces"))
        return content["vertices"], content["faces"]
    vertices, faces = _read_stl(stl_path)
    if len(faces) > MAX_FACES:
        import fast_simplification

        vertices, faces = fast_simplification.simplify(
            vertices, faces, target_reduction=1.0 - MAX_FACES / len(faces)
        )
    vertices, faces = vertices.astype(np.float32), faces.astype(np.int32)
    with atomic_file(cached, ConfigError) as file:
        np.savez(file, vertices=vertices, faces=faces)
    return vertices, faces


def _cache_directory() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    release = version("hello-robot-stretch-urdf")
    return root / "vinn" / f"stretch-meshes-{release}-{MAX_FACES}"


def _read_stl(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    content = path.read_bytes()
    count = int.from_bytes(content[80:84], "little")
    if len(content) != 84 + count * _STL_FACET.itemsize:
        raise ConfigError(f"{path}: not a binary STL mesh; reinstall hello-robot-stretch-urdf")
    corners = np.frombuffer(content, _STL_FACET, count, offset=84)["vertices"].reshape(-1, 3)
    vertices, index = np.unique(corners, axis=0, return_inverse=True)
    faces = index.reshape(-1, 3).astype(np.int32)
    distinct = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    )
    return vertices, faces[distinct]
