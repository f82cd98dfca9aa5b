"""Run an encoder artefact; needs no torch."""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import EncoderManifest, read_manifest
from vinn.encoders.network import InferenceRequest, Network, NetworkKind, Precision
from vinn.encoders.preprocessing import Preprocessing
from vinn.encoders.registry import NETWORKS, RUNTIMES
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError, ImageError


class Encoder:
    """Image to embedding. Not thread-safe: inference requests are reused.

    Every image is a batch of its own, several of which may be in work at a time. On a CPU a larger
    batch is not faster, and this way a frame's embedding does not depend on its company: a
    demonstration's frame is at distance 0 from itself.
    """

    def __init__(self, manifest: EncoderManifest, network: Network, requests: int = 1) -> None:
        """Use `load_encoder`.

        Args:
            manifest: what the encoder is.
            network: (1, height, width, 3) uint8 to (1, D).
            requests: how many images may be in work or fed at a time.
        """
        self.manifest = manifest
        self._network = network
        self._requests = tuple(network.request() for _ in range(requests))

    @property
    def runtime(self) -> str:
        """What computes the network, e.g. "openvino"."""
        return self._network.runtime

    @property
    def compiled(self) -> Any:
        """The run time's own object, to be measured against."""
        return self._network.compiled

    @property
    def name(self) -> str:
        """Name of the encoder, e.g. "efficientnet-lite0"."""
        return self.manifest.name

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return self.manifest.dimension

    @property
    def hash(self) -> str:
        """The encoder's identity; embeddings of different hashes cannot be compared."""
        return self.manifest.hash

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to an image before the network."""
        return self.manifest.preprocessing

    def encode(self, resized_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed one image that went through `preprocessing.resize`; returns (D,).

        Raises:
            ImageError: the network's answer is not finite.
            ArtefactMismatchError: it is not of the manifest's dimension.
        """
        return self._checked(self._requests[0].run(resized_rgb))

    def encode_each(
        self, resized_rgb: Iterable[NDArray[np.uint8]]
    ) -> Iterator[NDArray[np.float32]]:
        """Embed images as `encode` does, in their order; the next ones are fetched meanwhile.

        As many are in work as the encoder has streams, and one more is fed.

        Raises:
            ImageError: an answer is not finite.
        """
        idle, busy = deque(self._requests), deque[InferenceRequest]()
        for image in resized_rgb:
            if not idle:
                yield self._awaited(busy, idle)
            request = idle.popleft()
            request.start(image)
            busy.append(request)
        while busy:
            yield self._awaited(busy, idle)

    def _awaited(
        self, busy: deque[InferenceRequest], idle: deque[InferenceRequest]
    ) -> NDArray[np.float32]:
        request = busy.popleft()
        embedding = request.result()
        idle.append(request)
        return self._checked(embedding)

    def _checked(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        if embedding.shape != (self.dimension,):
            raise ArtefactMismatchError(
                f"encoder {self.name}: an embedding of shape {embedding.shape}, the manifest says "
                f"({self.dimension},)"
            )
        if not np.isfinite(embedding).all():
            raise ImageError(f"encoder {self.name}: the embedding of the image is not finite")
        return embedding

    def embed(
        self,
        images_rgb: Sequence[NDArray[np.uint8]],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Embed N images.

        Args:
            images_rgb: N images (H, W, 3) uint8 RGB of any size.
            on_progress: called with (images done, N).

        Returns:
            (N, D) float32.

        Raises:
            ImageError: an image has the wrong shape or type.
        """
        embeddings = np.empty((len(images_rgb), self.dimension), np.float32)
        resized = (self.preprocessing.resize(image) for image in images_rgb)
        for index, embedding in enumerate(self.encode_each(resized)):
            embeddings[index] = embedding
            if on_progress is not None:
                on_progress(index + 1, len(images_rgb))
        return embeddings


def load_encoder(
    directory: Path,
    threads: int = 1,
    precision: Precision = "fp32",
    streams: int = 1,
    runtime: str = "auto",
) -> Encoder:
    """Load an encoder artefact.

    Args:
        directory: made by `vinn encoder export`.
        threads: CPU threads for inference.
        precision: "fp32" gives the same embeddings on every machine; "bf16" is faster where the
            CPU has it, and changes embeddings; "auto" leaves the choice to the run time.
        streams: images in work at a time in `embed` and `encode_each`, with `threads` each; for
            many images, one thread in each of as many streams as there are processors is fastest.
        runtime: "auto" is what the artefact says, else OpenVINO where it is installed, else ONNX
            Runtime. Embeddings of both are equal but for rounding. Others: `NETWORKS`.

    Raises:
        ArtefactError: missing or malformed, or without what the run time needs.
        ArtefactMismatchError: files, dimension or input size are not what the manifest says.
        ConfigError: bad `threads`, `streams`, `precision` or `runtime`, or it is not installed.
    """
    if threads < 1:
        raise ConfigError(f"threads: {threads}; allowed: 1 or more")
    if streams < 1:
        raise ConfigError(f"streams: {streams}; allowed: 1 or more")
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"precision: '{precision}'; allowed: auto, fp32, bf16")
    if runtime != "auto" and runtime not in NETWORKS:
        raise ConfigError(f"runtime: '{runtime}'; allowed: auto, {', '.join(NETWORKS)}")
    directory = Path(directory)
    manifest = read_manifest(directory)
    kind = network_kind(directory, manifest, runtime)
    network = kind.open(directory, manifest, threads, precision, streams)
    # One request more than streams: it is fed while the others are in work.
    return Encoder(manifest, network, requests=1 if streams == 1 else streams + 1)


def load_for_datasets(directory: Path, threads: int = 1) -> Encoder:
    """Load an encoder for many images: as many in work as there are processors for.

    Embeddings are those of `load_encoder`. Arguments and errors are its own, too.
    """
    streams = max(1, (os.cpu_count() or 1) // max(1, threads))
    return load_encoder(directory, threads, streams=streams)


def network_kind(directory: Path, manifest: EncoderManifest, runtime: str = "auto") -> NetworkKind:
    """What computes an artefact's network; see `load_encoder`.

    Raises:
        ArtefactError: the artefact's own run time is not there.
        ConfigError: `runtime` does not fit, or none is installed.
    """
    if manifest.network is not None:
        if runtime not in ("auto", manifest.network):
            raise ConfigError(f"runtime: '{runtime}'; {directory} runs in '{manifest.network}'")
        try:
            return NETWORKS[manifest.network]
        except ConfigError as cause:
            raise ArtefactError(f"{directory / 'manifest.json'}: {cause}") from cause
    if runtime != "auto":
        kind = NETWORKS[runtime]
        if kind.module and importlib.util.find_spec(kind.module) is None:
            raise ConfigError(f"runtime: '{runtime}' is not installed: pip install {kind.module}")
        return kind
    for name in RUNTIMES:
        if importlib.util.find_spec(name) is not None:
            return NETWORKS[name]
    raise ConfigError(f"runtime: none of {', '.join(RUNTIMES)} is installed")
