"""Embedding demonstrations: every frame of a dataset, by one encoder, in one or several views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.artefact import EncoderManifest
from vinn.encoders.encoder import Encoder
from vinn.errors import ArtefactMismatchError
from vinn.policies.augmentation import ORIGINAL, check_view, view_frame

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


@dataclass(frozen=True)
class EmbeddedDataset:
    """Embeddings (N, D) of a dataset's frames, with the hashes that say of what and by what.

    With several views, N is the number of views times that of frames, view after view.
    """

    embeddings: NDArray[np.float32]
    dataset_hash: str
    encoder_hash: str
    views: tuple[str, ...] = (ORIGINAL,)


def embed_dataset(
    dataset: Dataset,
    encoder: Encoder,
    on_progress: Progress | None = None,
    views: Sequence[str] = (ORIGINAL,),
) -> EmbeddedDataset:
    """Embed every frame of a dataset in every view.

    Frames are read while the encoder works; `load_for_datasets` keeps all processors at it.

    Raises:
        DatasetError: a frame is truncated; the message names it.
        ConfigError: an unknown view.
    """
    views = tuple(check_view(view) for view in views)
    total = dataset.frame_count
    embeddings = np.empty((len(views), total, encoder.dimension), np.float32)

    def seen() -> Iterator[NDArray[np.uint8]]:
        for key, path in frames_of(dataset):
            resized = encoder.preprocessing.resize(read_frame(path))
            for view in views:
                yield view_frame(resized, view, key)

    for number, embedding in enumerate(encoder.encode_each(seen())):
        done, view_number = divmod(number, len(views))
        embeddings[view_number, done] = embedding
        if on_progress is not None and view_number == len(views) - 1:
            on_progress(done + 1, total)
    joined = embeddings.reshape(len(views) * total, -1)
    return EmbeddedDataset(joined, dataset.hash, encoder.hash, views)


def frames_of(dataset: Dataset) -> Iterator[tuple[str, Path]]:
    """A key and the file of each frame, demonstration after demonstration."""
    for demonstration in dataset.demonstrations:
        for number, path in enumerate(demonstration.frame_paths):
            yield f"{demonstration.meta.name}/{number}", path


def check_embedded(
    embedded: EmbeddedDataset,
    dataset: Dataset,
    encoder: EncoderManifest,
    views: tuple[str, ...] = (ORIGINAL,),
) -> None:
    """Refuse embeddings of other demonstrations, of another encoder, or of other views.

    Raises:
        ArtefactMismatchError: both values are named.
    """
    if embedded.dataset_hash != dataset.hash:
        raise ArtefactMismatchError(
            f"embeddings are of dataset {embedded.dataset_hash[:12]}, the policy's is "
            f"{dataset.hash[:12]}"
        )
    if embedded.encoder_hash != encoder.hash:
        raise ArtefactMismatchError(
            f"embeddings are by encoder {embedded.encoder_hash[:12]}, the policy's is "
            f"{encoder.hash[:12]} ({encoder.name})"
        )
    if embedded.views != views:
        raise ArtefactMismatchError(
            f"embeddings are of views {', '.join(embedded.views)}, the policy's are "
            f"{', '.join(views)}"
        )
