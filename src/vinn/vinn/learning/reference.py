"""The paper's pseudocode as it stands, to measure ours against: slow, and plain to read.

A torch network in eager mode embeds the image, a Python loop computes the distance to every
demonstration frame (paper, algorithm 1 and section III-B), softmin weights average the actions.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import decode_jpeg
from vinn.encoders.preprocessing import Preprocessing
from vinn.errors import ConfigError
from vinn.learning.export import ARCHITECTURES, export_network

if TYPE_CHECKING:
    import torch


def naive_step_seconds(
    architecture: str,
    jpegs: list[bytes],
    embeddings: NDArray[np.float32],
    actions: NDArray[np.float32],
    k: int,
    threads: int,
) -> list[float]:
    """Time policy steps, JPEG in and action out; the first one warms up and is left out.

    Args:
        architecture: of `ARCHITECTURES`; its weights are random, which costs the same.
        jpegs: a frame for each step.
        embeddings: (N, D) of the demonstrations.
        actions: (N, 3).
        k: neighbours.
        threads: of torch.

    Raises:
        ConfigError: the embeddings have another length than the network's.
    """
    import torch

    torch.set_num_threads(threads)
    network, preprocessing = _random_network(architecture)
    memory = torch.from_numpy(np.ascontiguousarray(embeddings))
    answers = torch.from_numpy(np.ascontiguousarray(actions))
    seconds = []
    for jpeg in [jpegs[0], *jpegs]:
        started_s = time.perf_counter()
        _naive_step(network, preprocessing, jpeg, memory, answers, k)
        seconds.append(time.perf_counter() - started_s)
    return seconds[1:]


def export_random_encoder(architecture: str, out_dir: Path) -> Path:
    """An encoder artefact of a network with random weights: of no use but to time it.

    Raises:
        ArtefactError: `out_dir` exists.
    """
    network, preprocessing = _random_network(architecture)
    name = f"{architecture}-random"
    return export_network(network, name, preprocessing, out_dir, {"weights": "random, seed 0"})


def _random_network(architecture: str) -> tuple[torch.nn.Module, Preprocessing]:
    import torch

    torch.manual_seed(0)
    known = ARCHITECTURES[architecture]
    return known.pooled_features(known.build()).eval(), known.preprocessing


def _naive_step(
    network: torch.nn.Module,
    preprocessing: Preprocessing,
    jpeg: bytes,
    memory: torch.Tensor,
    answers: torch.Tensor,
    k: int,
) -> NDArray[np.float32]:
    import torch

    image = preprocessing.normalise(preprocessing.resize(decode_jpeg(jpeg, "frame")))
    with torch.no_grad():
        query = network(torch.from_numpy(image))[0]
        if query.shape != memory[0].shape:
            raise ConfigError(
                f"embeddings have length {memory.shape[1]}, the network gives {query.shape[0]}"
            )
        distances = [torch.linalg.vector_norm(query - embedding) for embedding in memory]
        nearest = torch.stack(distances).topk(k, largest=False)
        weights = torch.softmax(-nearest.values, dim=0)
        return np.asarray((weights[:, None] * answers[nearest.indices]).sum(dim=0).numpy())
