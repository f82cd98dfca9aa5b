"""All benchmarks of the library in one run, as results with goals and a plot."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.bench.arithmetic import network_gflop, product_gflop_s
from vinn.bench.encoding import encode_cost, ranking_agreement, throughput
from vinn.bench.loading import load_in_fresh_process, write_large_policy
from vinn.bench.memories import BenchMemory, asked_about, extended, hold_out
from vinn.bench.search import (
    ApproximateCost,
    K,
    SearchCost,
    approximate_cost,
    exact_cost,
    growth,
    read_bandwidth_gb_s,
)
from vinn.bench.simulation import simulation_cost
from vinn.bench.step import PRECISIONS, step_cost
from vinn.demos.frames import decode_jpeg
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_encoder
from vinn.encoders.network import Precision
from vinn.evaluation.own_process import OwnProcess, in_own_process
from vinn.evaluation.results import Results
from vinn.learning.reference import export_random_encoder
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.artefacts.quantize_encoder import quantize_encoder

PARTS = ("encode", "retrieve", "approximate", "step", "load", "embed", "simulate")
PAPER_ARCHITECTURE = "resnet50"
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
STEP_FRAMES = 20_000
GROWTH_FROM_FRAMES = 10_000
"""Below, what a query costs whatever the number of frames is the larger part."""


@dataclass(frozen=True)
class BenchSettings:
    """How much is measured.

    Attributes:
        sizes: numbers of frames for exact search, ascending; those above the dataset's own number
            are extended (see `vinn.bench.memories`).
        approximate: numbers of frames for approximate search.
        repeats: calls of each function that count.
        queries: held-out frames asked about in a repeat.
        recall_queries: held-out frames that the recall of approximate search is taken of.
        images: frames that are encoded in a repeat.
        threads: of the encoders; search has one.
        parts: names of `PARTS`.
        keep_large: where the policy of part "load" shall stay; None: nowhere.
    """

    sizes: tuple[int, ...] = (1_000, 3_000, 10_000, 20_000, 50_000, 100_000, 200_000)
    approximate: tuple[int, ...] = (10_000, 100_000, 300_000, 1_000_000)
    repeats: int = 5
    queries: int = 50
    recall_queries: int = 500
    images: int = 20
    threads: int = 2
    parts: tuple[str, ...] = PARTS
    keep_large: Path | None = None

    def only(self, parts: tuple[str, ...], keep_large: Path | None = None) -> BenchSettings:
        """The same, for some parts."""
        return dataclasses.replace(self, parts=parts, keep_large=keep_large)


class Bench:
    """One run over a dataset's frames with an encoder."""

    def __init__(
        self,
        dataset: Dataset,
        encoder_dir: Path,
        settings: BenchSettings,
        results: Results,
        on_stage: Callable[[str], None],
    ) -> None:
        """Args: frames, encoder artefact, how much, where figures go, told what is measured."""
        self._dataset, self._encoder_dir = dataset, encoder_dir
        self._settings, self._results, self._say = settings, results, on_stage
        self._jpegs = [
            path.read_bytes()
            for demonstration in dataset.demonstrations
            for path in demonstration.frame_paths
        ]
        self._ids = np.repeat(
            np.arange(len(dataset)),
            [len(demonstration) for demonstration in dataset.demonstrations],
        )
        self._kept_memory: BenchMemory | None = None

    def run(self) -> None:
        """Measure what the settings name."""
        parts: dict[str, Callable[[], None]] = {
            "encode": self._encode,
            "retrieve": self._retrieve,
            "approximate": self._approximate,
            "step": self._step,
            "load": self._load,
            "embed": self._embed,
            "simulate": self._simulate,
        }
        for part in self._settings.parts:
            parts[part]()

    # Parts

    def _encode(self) -> None:
        name = load_encoder(self._encoder_dir).name
        for precision in PRECISIONS:
            self._say(f"encode: {name}, {precision}")
            self._encode_rows(name, self._encoder_dir, precision)
        memory = self._memory()
        self._say("encode: neighbours that stay with the processor's own precision")
        agreement = ranking_agreement(
            self._encoder_dir, self._held_out_jpegs(100), memory.embeddings, "auto"
        )
        self._results.add(
            f"{name}: nearest {K} that stay when queries are encoded with 'auto' precision",
            round(100 * agreement, 1),
            "%",
        )

    def _encode_rows(self, name: str, directory: Path, precision: Precision) -> None:
        jpegs = self._some_jpegs(self._settings.images)
        cost = encode_cost(
            directory, jpegs, self._settings.threads, precision, self._settings.repeats
        )
        what = f"{name} {precision}"
        self._results.add(f"encode {what}: bare network", round(cost.bare_ms, 2), "ms")
        self._results.add(f"encode {what}: resize and network", round(cost.stage_ms, 2), "ms")
        ratio = round(cost.stage_ms / cost.bare_ms, 3)
        self._results.add(f"encode {what}: stage over bare network", ratio, "x", goal="<= 1.2")
        self._results.add(f"encode {what}: JPEG decoding", round(cost.decode_ms, 2), "ms")

    def _retrieve(self) -> None:
        settings = self._settings
        memory = self._memory()
        memory = dataclasses.replace(memory, queries=memory.queries[: settings.queries])
        with _one_thread() as process:
            bandwidth = process.call(read_bandwidth_gb_s)
            self._results.add("fastest streaming read, one thread", round(bandwidth, 1), "GB/s")
            costs = []
            for count in settings.sizes:
                self._say(f"retrieve: exact among {count:,}")
                costs.append(process.call(exact_cost, memory, count, settings.repeats))
                self._exact_rows(memory, costs[-1], bandwidth)
        large = [cost for cost in costs if cost.count >= GROWTH_FROM_FRAMES]
        if len(large) > 1:
            what = f"retrieve: exponent of the exact cost from {GROWTH_FROM_FRAMES:,} frames on"
            self._results.add(what, round(growth(large), 2), goal="<= 1.1")

    def _approximate(self) -> None:
        memory, settings = self._memory(), self._settings
        with _one_thread() as process:
            for count in settings.approximate:
                self._say(f"approximate: among {count:,} (builds an index first)")
                self._approximate_rows(
                    process.call(
                        approximate_cost, memory, count, settings.queries, settings.repeats
                    )
                )

    def _exact_rows(self, memory: BenchMemory, cost: SearchCost, bandwidth: float) -> None:
        real = cost.count <= len(memory.embeddings)
        what = f"retrieve {cost.count:,} {'real' if real else 'augmented'} frames"
        dimension = memory.embeddings.shape[1]
        largest = cost.count >= 200_000
        add = self._results.add
        add(f"{what}: ours, exact", round(cost.projected_ms, 3), "ms")
        add(f"{what}: FAISS flat", round(cost.flat_ms, 3), "ms")
        add(f"{what}: the formula in numpy", round(cost.formula_ms, 2), "ms")
        limit_ms = cost.count * dimension * 4 / bandwidth / 1e6
        add(f"{what}: one read of all embeddings", round(limit_ms, 3), "ms")
        ratio = round(cost.flat_ms / cost.projected_ms, 2)
        goal = ">= 3" if largest else None
        add(f"{what}: FAISS flat over ours", ratio, "x", goal=goal)
        add(
            f"{what}: queries with identical neighbours",
            round(100 * cost.identical, 2),
            "%",
            "== 100",
        )
        add(f"{what}: rows measured per query, median", cost.measured_rows, "rows")

    def _approximate_rows(self, cost: ApproximateCost) -> None:
        what = f"retrieve {cost.count:,} augmented frames approximately"
        large = cost.count >= 1_000_000
        add = self._results.add
        add(f"{what}: query", round(cost.query_ms, 3), "ms", goal="<= 1" if large else None)
        exact = f"retrieve {cost.count:,} augmented frames: ours, exact"
        if cost.count not in self._settings.sizes:  # these are measured beside the others
            add(exact, round(cost.exact_ms, 3), "ms")
        add(f"{what}: recall at {K}", round(cost.recall, 4), "", goal=">= 0.99")
        add(f"{what}: recall that the index states", round(cost.stated_recall, 4))
        add(f"{what}: building", round(cost.build_s, 1), "s")
        add(f"{what}: index on disk", round(cost.index_bytes / 2**20), "MiB")

    def _step(self) -> None:
        """Policy step with the paper's network: ours against the pseudocode, in one run."""
        settings = self._settings
        with tempfile.TemporaryDirectory() as folder:
            encoder_dir = Path(folder) / "encoder"
            self._say(f"step: exporting {PAPER_ARCHITECTURE} with random weights")
            in_own_process(export_random_encoder, PAPER_ARCHITECTURE, encoder_dir)
            for precision in PRECISIONS:
                self._say(f"step: encoding alone, {precision}")
                self._encode_rows(PAPER_ARCHITECTURE, encoder_dir, precision)
            self._say(f"step: embedding frames with {PAPER_ARCHITECTURE}")
            memory = self._step_memory(encoder_dir)
            encoders: dict[str, tuple[Path, Precision]] = {
                precision: (encoder_dir, precision) for precision in PRECISIONS
            }
            if find_spec("nncf"):
                self._say(f"step: {PAPER_ARCHITECTURE} in 8 bits")
                few = self._dataset.only(*[d.meta.name for d in self._dataset.demonstrations[:4]])
                eight_bit = Path(folder) / "int8"
                quantize_encoder(encoder_dir, few, eight_bit, accept_ranking=True)
                encoders["int8"] = (eight_bit, "auto")
            gflop = network_gflop(encoder_dir)
            self._say("step: the fastest product of matrices")
            rates = {name: product_gflop_s(name, settings.threads) for name in PRECISIONS}
            self._say("step: ours and the pseudocode in turns")
            cost = step_cost(
                PAPER_ARCHITECTURE,
                encoders,
                self._some_jpegs(5),
                memory,
                settings.threads,
                settings.repeats,
            )
        what = f"step {PAPER_ARCHITECTURE} at {STEP_FRAMES:,}, {settings.threads} threads"
        add = self._results.add
        add(f"{what}: the paper's pseudocode", round(cost.naive_ms, 1), "ms")
        for name, ours_ms in cost.ours_ms.items():
            add(f"{what}, {name}: ours", round(ours_ms, 2), "ms")
            goal = ">= 10" if name == "auto" else None
            ratio = round(cost.naive_ms / ours_ms, 1)
            add(f"{what}, {name}: pseudocode over ours", ratio, "x", goal=goal)
        for name, rate in rates.items():
            limit_ms = 1e3 * gflop / rate
            limit = f"{what}, {name}: the network alone at the rate of the fastest matrix product"
            add(limit, round(limit_ms, 2), "ms")
            most = round(cost.naive_ms / limit_ms, 1)
            add(f"{what}, {name}: pseudocode over that", most, "x")

    def _step_memory(self, encoder_dir: Path) -> NDArray[np.float32]:
        encoder = load_encoder(encoder_dir, streams=os.cpu_count() or 1, precision="auto")
        some = [decode_jpeg(jpeg, "frame") for jpeg in self._some_jpegs(400)]
        embeddings = encoder.embed(some)
        ids = np.arange(len(some)) // 20
        own = BenchMemory(embeddings, ids, embeddings[:1])
        return extended(own, STEP_FRAMES)

    def _load(self) -> None:
        """Opening a policy of many frames, each time in a fresh process."""
        with tempfile.TemporaryDirectory() as folder:
            self._say(f"load: building a policy of {STEP_FRAMES:,} frames")
            memory = extended(self._memory(), STEP_FRAMES)
            policy = write_large_policy(self._dataset, self._encoder_dir, memory, Path(folder))
            self._say(f"load: opening a policy of {STEP_FRAMES:,} frames")
            if self._settings.keep_large is not None:
                shutil.copytree(policy, self._settings.keep_large)
            loads = [load_in_fresh_process(policy) for _ in range(self._settings.repeats)]
        what = f"load a policy of {STEP_FRAMES:,} frames"
        seconds = round(float(np.median([load.seconds for load in loads])), 2)
        mebibytes = round(float(np.median([load.resident_mib for load in loads])))
        self._results.add(f"{what}: imports and loading", seconds, "s", goal="<= 3")
        self._results.add(f"{what}: resident memory", mebibytes, "MiB", goal="<= 600")

    def _embed(self) -> None:
        self._say("embed: dataset throughput")
        jpegs = self._some_jpegs(200)
        found = throughput(self._encoder_dir, jpegs, os.cpu_count() or 1, self._settings.repeats)
        self._results.add("embed: run time's own throughput", round(found.bare_hz, 1), "images/s")
        self._results.add("embed: dataset, JPEG in", round(found.dataset_hz, 1), "images/s")
        share = round(100 * found.dataset_hz / found.bare_hz, 1)
        self._results.add("embed: share of the run time's own", share, "%", goal=">= 80")

    def _simulate(self) -> None:
        self._say("simulate: physics and wrist frames")
        cost = in_own_process(simulation_cost, self._settings.repeats)
        add = self._results.add
        add("simulation: physics, simulated seconds per second", round(cost.physics_factor, 1))
        add("simulation: a wrist frame of 224 x 224 pixels", round(cost.frame_ms, 2), "ms")

    # Data

    def _memory(self) -> BenchMemory:
        """Embeddings of the dataset, every fifth demonstration held out."""
        if self._kept_memory is None:
            self._say(f"embedding {len(self._jpegs)} frames")
            encoder = load_encoder(self._encoder_dir, streams=os.cpu_count() or 1)
            embedded = embed_dataset(self._dataset, encoder)
            most = max(self._settings.queries, self._settings.recall_queries)
            self._kept_memory = hold_out(embedded.embeddings, self._ids, most)
        return self._kept_memory

    def _held_out_jpegs(self, count: int) -> list[bytes]:
        rows = np.flatnonzero(asked_about(self._ids))
        chosen = np.random.default_rng(1).permutation(rows)[:count]
        return [self._jpegs[row] for row in chosen]

    def _some_jpegs(self, count: int) -> list[bytes]:
        rows = np.linspace(0, len(self._jpegs) - 1, min(count, len(self._jpegs))).astype(int)
        return [self._jpegs[row] for row in rows]


@contextmanager
def _one_thread() -> Iterator[OwnProcess]:
    """A process that numpy's libraries leave one thread."""
    before = os.environ.get(_BLAS_THREADS)
    # Read when numpy is imported over there.
    os.environ[_BLAS_THREADS] = "1"
    try:
        with closing(OwnProcess()) as process:
            yield process
    finally:
        if before is None:
            del os.environ[_BLAS_THREADS]
        else:
            os.environ[_BLAS_THREADS] = before
