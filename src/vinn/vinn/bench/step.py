"""A policy step, JPEG in and action out: ours against the paper's pseudocode, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.bench.timing import in_turns
from vinn.demos.frames import decode_jpeg
from vinn.demos.types import ActionScale
from vinn.encoders.encoder import load_encoder
from vinn.encoders.network import Precision
from vinn.evaluation.own_process import OwnProcess
from vinn.learning.reference import naive_step_seconds
from vinn.policies.memory import ActionMemory
from vinn.policies.vinn import VinnPolicy
from vinn.retrieval.index import search_over

K = 10
PRECISIONS: tuple[Precision, ...] = ("fp32", "auto")
_FRAMES_OF_A_DEMONSTRATION = 20


@dataclass(frozen=True)
class StepCost:
    """Cost of a step [ms]; medians.

    Attributes:
        naive_ms: the pseudocode: torch in eager mode, a Python loop over all frames.
        ours_ms: by encoder.
    """

    naive_ms: float
    ours_ms: Mapping[str, float]


def step_cost(
    architecture: str,
    encoders: Mapping[str, tuple[Path, Precision]],
    jpegs: Sequence[bytes],
    embeddings: NDArray[np.float32],
    threads: int,
    repeats: int,
) -> StepCost:
    """Measure steps over all of `jpegs`, in turns.

    Args:
        architecture: of the pseudocode's network (`vinn.learning.export.ARCHITECTURES`).
        encoders: artefacts of the same network and precisions to run them in, by name.
        jpegs: frames, one a step.
        embeddings: (N, D) of the memory; its actions are random.
        threads: of either network. The search has one.
        repeats: of all frames.
    """
    memory = _some_actions(len(embeddings))
    search = search_over(embeddings)

    def ours(directory: Path, precision: Precision) -> Callable[[], None]:
        encoder = load_encoder(directory, threads, precision)
        policy = VinnPolicy(encoder, search, memory, K)

        def steps() -> None:
            for jpeg in jpegs:
                policy.predict(decode_jpeg(jpeg, "frame"))

        return steps

    naive_s: list[float] = []
    with closing(OwnProcess()) as torch_process:

        def naive() -> None:
            naive_s.extend(
                torch_process.call(
                    naive_step_seconds,
                    architecture,
                    list(jpegs),
                    embeddings,
                    memory.camera_delta,
                    K,
                    threads,
                )
            )

        timings = in_turns(
            {"naive": naive, **{name: ours(*encoder) for name, encoder in encoders.items()}},
            repeats,
        )
    return StepCost(
        # Timed over there: starting the process and handing the memory over do not count.
        naive_ms=1e3 * float(np.median(naive_s)),
        ours_ms={name: timings[name].median_ms / len(jpegs) for name in encoders},
    )


def _some_actions(count: int) -> ActionMemory:
    rng = np.random.default_rng(0)
    ids = np.arange(count) // _FRAMES_OF_A_DEMONSTRATION
    return ActionMemory(
        camera_delta=rng.normal(size=(count, 3)).astype(np.float32),
        gripper=rng.integers(0, 4, count).astype(np.int8),
        demonstration_ids=ids,
        frames=(np.arange(count) % _FRAMES_OF_A_DEMONSTRATION).astype(np.int32),
        names=tuple(f"demonstration_{number:06d}" for number in range(int(ids[-1]) + 1)),
        action_scale=ActionScale.UNIT,
    )
