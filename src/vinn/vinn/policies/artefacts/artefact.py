"""A policy artefact that is open: its manifest, its rows, and the policy they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vinn.demos.frames import decode_jpeg
from vinn.encoders.network import Precision
from vinn.errors import ArtefactError, ImageError
from vinn.policies.artefacts.manifest import PolicyManifest
from vinn.policies.memory import ActionMemory
from vinn.policies.types import Policy
from vinn.reading.regular import open_regular
from vinn.retrieval.neighbors import Neighbors

SettingsT = TypeVar("SettingsT", bound=BaseModel)


@dataclass(frozen=True)
class LoadOptions:
    """How a policy shall run; a kind takes what concerns it.

    Attributes:
        threads: CPU threads of the encoder.
        precision: of the encoder; see `vinn.encoders.encoder.load_encoder`.
        k: other than the artefact's (kinds with neighbours).
        bandwidth: other than the artefact's (kinds with neighbours).
        neighbors: another search over the same rows, e.g. in a database; None: the artefact's.
    """

    threads: int = 1
    precision: Precision = "fp32"
    k: int | None = None
    bandwidth: float | None = None
    neighbors: Neighbors | None = None


@dataclass(frozen=True)
class PolicyArtefact(Generic[SettingsT]):
    """An artefact whose parts were found to belong together.

    Attributes:
        directory: where it lies.
        manifest: what it is.
        settings: of its kind.
        memory: actions of its N frames.
        thumbnail_spans: (N, 2) offset and size in `thumbnails.bin` [bytes].
        load: makes the policy; its kind's.
    """

    directory: Path
    manifest: PolicyManifest
    settings: SettingsT
    memory: ActionMemory
    thumbnail_spans: NDArray[np.int64]
    load: Callable[[Any, LoadOptions], Policy]

    def policy(
        self,
        threads: int = 1,
        k: int | None = None,
        bandwidth: float | None = None,
        precision: Precision = "fp32",
        neighbors: Neighbors | None = None,
    ) -> Policy:
        """The policy, ready to predict; arguments are those of `LoadOptions`.

        Raises:
            ArtefactError, ArtefactMismatchError: parts are damaged or do not belong together.
            ConfigError: k is larger than the number of frames, or a setting is out of range.
        """
        return self.load(self, LoadOptions(threads, precision, k, bandwidth, neighbors))

    def thumbnail(self, index: int) -> NDArray[np.uint8]:
        """The small image (h, w, 3) uint8 RGB of frame `index` (`Neighbor.index`).

        Raises:
            IndexError: index is not in 0..N-1.
            ArtefactError: the file is damaged.
        """
        if not 0 <= index < len(self.memory):
            raise IndexError(f"thumbnail {index} of {len(self.memory)} frames")
        offset, size = (int(value) for value in self.thumbnail_spans[index])
        path = self.directory / "thumbnails.bin"
        try:
            with open_regular(path, ArtefactError) as file:
                file.seek(offset)
                return decode_jpeg(file.read(size), f"{path}: thumbnail {index}")
        except (OSError, ImageError) as cause:
            raise ArtefactError(f"{path}: thumbnail {index} cannot be read: {cause}") from cause
