"""A network that is a function of one image."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Function = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""An image (height, width, 3) uint8 RGB, as preprocessing resizes it, to an embedding (D,)."""


class FunctionNetwork:
    """`vinn.encoders.network.Network`; as many threads as streams call the function."""

    def __init__(
        self, runtime: str, function: Function, streams: int = 1, compiled: Any = None
    ) -> None:
        """Args:
        runtime: what computes it.
        function: may be called by several threads at a time.
        streams: images in work at a time.
        compiled: the run time's own object; the function by default.
        """
        self.runtime = runtime
        self.compiled: Any = function if compiled is None else compiled
        self._function = function
        self._workers = ThreadPoolExecutor(streams, thread_name_prefix="encoder")

    def request(self) -> _Request:
        """See `Network`."""
        return _Request(self._function, self._workers)


class _Request:
    def __init__(self, function: Function, workers: ThreadPoolExecutor) -> None:
        self._function, self._workers = function, workers
        self._future: Future[NDArray[np.float32]] | None = None

    def run(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self._function(resized_rgb), np.float32)

    def start(self, resized_rgb: NDArray[np.uint8]) -> None:
        self._future = self._workers.submit(self.run, resized_rgb)

    def result(self) -> NDArray[np.float32]:
        if self._future is None:
            raise RuntimeError("no image was started")
        future, self._future = self._future, None
        return future.result()
