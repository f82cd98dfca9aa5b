"""Run an encoder artefact on the CPU with OpenVINO; needs no torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vinn.encoders.artefact import EncoderManifest, check_input_shape, read_manifest
from vinn.encoders.openvino_runtime import import_openvino
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError, ImageError

Precision = Literal["auto", "fp32", "bf16"]
PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


class Encoder:
    """Image to embedding. Not thread-safe: inference requests are reused.

    Every image is a batch of its own, several of which may be in work at a time. On a CPU a larger
    batch is not faster, and this way a frame's embedding does not depend on its company: a
    demonstration's frame is at distance 0 from itself.
    """

    def __init__(self, manifest: EncoderManifest, compiled: Any, requests: int = 1) -> None:
        """Use `load_encoder`.

        Args:
            manifest: what the encoder is.
            compiled: OpenVINO's `CompiledModel`, (1, height, width, 3) uint8 to (1, D).
            requests: how many images may be in work or fed at a time.
        """
        self.manifest = manifest
        self.compiled = compiled
        self._requests = tuple(compiled.create_infer_request() for _ in range(requests))

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
        """
        request = self._requests[0]
        request.infer({0: resized_rgb[None]})
        return self._embedding(request)

    def encode_each(
        self, resized_rgb: Iterable[NDArray[np.uint8]]
    ) -> Iterator[NDArray[np.float32]]:
        """Embed images as `encode` does, in their order; the next ones are fetched meanwhile.

        As many are in work as the encoder has streams, and one more is fed.

        Raises:
            ImageError: an answer is not finite.
        """
        idle, busy = deque(self._requests), deque[Any]()
        for image in resized_rgb:
            if not idle:
                yield self._awaited(busy, idle)
            request = idle.popleft()
            request.start_async({0: image[None]})
            busy.append(request)
        while busy:
            yield self._awaited(busy, idle)

    def _awaited(self, busy: deque[Any], idle: deque[Any]) -> NDArray[np.float32]:
        request = busy.popleft()
        request.wait()
        idle.append(request)
        return self._embedding(request)

    def _embedding(self, request: Any) -> NDArray[np.float32]:
        embedding = np.array(request.get_output_tensor(0).data[0], dtype=np.float32)
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
    directory: Path, threads: int = 1, precision: Precision = "fp32", streams: int = 1
) -> Encoder:
    """Load an encoder artefact for the CPU.

    Args:
        directory: made by `vinn encoder export`.
        threads: CPU threads for inference.
        precision: "fp32" gives the same embeddings on every machine; "bf16" is faster where the
            CPU has it, and changes embeddings; "auto" leaves the choice to OpenVINO.
        streams: images in work at a time in `embed` and `encode_each`, with `threads` each; for
            many images, one thread in each of as many streams as there are processors is fastest.

    Raises:
        ArtefactError: missing or malformed.
        ArtefactMismatchError: files, dimension or input size are not what the manifest says.
        ConfigError: bad `threads`, `streams` or `precision`.
    """
    if threads < 1:
        raise ConfigError(f"threads: {threads}; allowed: 1 or more")
    if streams < 1:
        raise ConfigError(f"streams: {streams}; allowed: 1 or more")
    if precision not in ("auto", *PRECISION_HINTS):
        raise ConfigError(f"precision: '{precision}'; allowed: auto, fp32, bf16")
    directory = Path(directory)
    manifest = read_manifest(directory)
    openvino = import_openvino()
    core = openvino.Core()
    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
    }
    if precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = PRECISION_HINTS[precision]
    try:
        model = core.read_model(directory / "model.xml")
        check_input_shape(model, manifest.preprocessing, str(directory))
        model = _with_normalisation(model, manifest.preprocessing)
        compiled = core.compile_model(model, "CPU", options)
    except RuntimeError as cause:
        reason = str(cause).strip().splitlines()[-1]
        raise ArtefactError(f"{directory / 'model.xml'}: cannot be loaded: {reason}") from cause
    found = compiled.output(0).shape
    if tuple(found) != (1, manifest.dimension):
        raise ArtefactMismatchError(
            f"{directory}: the network gives shape {list(found)}, the manifest says dimension "
            f"{manifest.dimension}"
        )
    # One request more than streams: it is fed while the others are in work.
    return Encoder(manifest, compiled, requests=1 if streams == 1 else streams + 1)


def _with_normalisation(model: Any, preprocessing: Preprocessing) -> Any:
    """The network with batch size 1 and (x - mean) / std in front, taking NHWC uint8."""
    openvino = import_openvino()
    model.reshape([1, 3, preprocessing.height_px, preprocessing.width_px])
    builder = openvino.preprocess.PrePostProcessor(model)
    builder.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    builder.input().model().set_layout(openvino.Layout("NCHW"))
    steps = builder.input().preprocess().convert_element_type(openvino.Type.f32)
    steps.mean(list(preprocessing.mean)).scale(list(preprocessing.std))
    return builder.build()
