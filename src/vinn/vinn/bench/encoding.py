"""What encoding costs: the bare network, our stages around it, and many images at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.bench.timing import in_turns
from vinn.demos.frames import decode_jpeg
from vinn.encoders.encoder import load_encoder
from vinn.encoders.network import Precision
from vinn.encoders.openvino_runtime import import_openvino
from vinn.retrieval.neighbors import brute_force_neighbors


@dataclass(frozen=True)
class EncodeCost:
    """Cost of one image, batch of 1 [ms]; medians.

    Attributes:
        bare_ms: the network's own latency in the same run time, its input prepared.
        stage_ms: resizing, normalising and the network, as the policy does it.
        decode_ms: JPEG to pixels.
    """

    bare_ms: float
    stage_ms: float
    decode_ms: float


@dataclass(frozen=True)
class ThroughputCost:
    """Images per second.

    Attributes:
        bare_hz: the run time's own, images prepared, as many in work as it asks for.
        dataset_hz: JPEG files decoded, resized and embedded by `Encoder.encode_each`.
    """

    bare_hz: float
    dataset_hz: float


def encode_cost(
    encoder_dir: Path, jpegs: Sequence[bytes], threads: int, precision: Precision, repeats: int
) -> EncodeCost:
    """Measure one image at a time; the bare network and the stages take turns."""
    encoder = load_encoder(encoder_dir, threads, precision)
    bare = encoder.compiled.create_infer_request()
    images = [decode_jpeg(jpeg, "frame") for jpeg in jpegs]
    prepared = encoder.preprocessing.resize(images[0])

    def all_stages() -> None:
        for image in images:
            encoder.encode(encoder.preprocessing.resize(image))

    def all_bare() -> None:
        for _ in images:
            bare.infer({0: prepared[None]})

    def all_decoded() -> None:
        for jpeg in jpegs:
            decode_jpeg(jpeg, "frame")

    timings = in_turns(
        {"stage": all_stages, "bare": all_bare, "decode": all_decoded}, repeats, warm_up=1
    )
    each = {name: timing.median_ms / len(images) for name, timing in timings.items()}
    return EncodeCost(each["bare"], each["stage"], each["decode"])


def throughput(
    encoder_dir: Path, jpegs: Sequence[bytes], processors: int, repeats: int
) -> ThroughputCost:
    """Measure many images; the run time alone and the whole way take turns."""
    encoder = load_encoder(encoder_dir, streams=processors)
    prepared = encoder.preprocessing.resize(decode_jpeg(jpegs[0], "frame"))
    openvino = import_openvino()
    queue = openvino.AsyncInferQueue(encoder.compiled, 0)

    def run_time() -> None:
        for _ in jpegs:
            queue.start_async({0: prepared[None]})
        queue.wait_all()

    def whole_way() -> None:
        resized = (encoder.preprocessing.resize(decode_jpeg(j, "frame")) for j in jpegs)
        for _ in encoder.encode_each(resized):
            pass

    timings = in_turns({"bare": run_time, "dataset": whole_way}, repeats)
    return ThroughputCost(
        bare_hz=len(jpegs) / timings["bare"].median_s,
        dataset_hz=len(jpegs) / timings["dataset"].median_s,
    )


def ranking_agreement(
    encoder_dir: Path,
    jpegs: Sequence[bytes],
    memory: NDArray[np.float32],
    precision: Precision,
    k: int = 10,
) -> float:
    """Mean share of the k nearest of a memory (N, D) that stay when queries are embedded otherwise.

    Args:
        encoder_dir: with whose single-precision embeddings the memory was made.
        jpegs: frames that are not in the memory.
        memory: (N, D).
        precision: of the queries.
        k: neighbours.
    """
    exact, other = load_encoder(encoder_dir), load_encoder(encoder_dir, precision=precision)
    shares = []
    for jpeg in jpegs:
        resized = exact.preprocessing.resize(decode_jpeg(jpeg, "frame"))
        kept = brute_force_neighbors(memory, exact.encode(resized), k)[1]
        found = brute_force_neighbors(memory, other.encode(resized), k)[1]
        shares.append(len(np.intersect1d(kept, found)) / k)
    return float(np.mean(shares))
