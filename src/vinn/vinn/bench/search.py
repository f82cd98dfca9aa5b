"""What a nearest-neighbour query costs: ours, FAISS flat, the formula, and the memory's speed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from vinn.bench.memories import BenchMemory, extended
from vinn.bench.timing import in_turns, in_turns_per_query
from vinn.retrieval.approximate import ApproximateNeighbors
from vinn.retrieval.effort import recall_of
from vinn.retrieval.flat import FlatNeighbors
from vinn.retrieval.index import IndexKind, build_index, open_index
from vinn.retrieval.neighbors import brute_force_neighbors
from vinn.retrieval.projected import ProjectedNeighbors
from vinn.retrieval.projection import Projection

K = 10
_FLAT_AT_MOST = 200_000
"""Above, FAISS flat would need a second copy of gigabytes."""
_BANDWIDTH_BYTES = 2**29


@dataclass(frozen=True)
class SearchCost:
    """Cost of a query at one memory size; NaN where a search was not run.

    Attributes:
        count: N.
        projected_ms: ours, exact.
        flat_ms: FAISS flat, one thread.
        formula_ms: the norm of every difference in numpy.
        identical: share of queries for which ours and the formula name the same rows, in order.
        measured_rows: median number of rows whose true distance ours computed.
    """

    count: int
    projected_ms: float
    flat_ms: float
    formula_ms: float
    identical: float
    measured_rows: float


@dataclass(frozen=True)
class ApproximateCost:
    """Cost of the approximate search at one memory size.

    Attributes:
        count: N.
        query_ms: median.
        exact_ms: of the exact search over the same embeddings, in turns.
        recall: mean share of the true nearest among those found, on held-out queries.
        stated_recall: what the index itself states, measured when it was built.
        build_s: inverted file and its recall.
        index_bytes: of the index folder.
    """

    count: int
    query_ms: float
    exact_ms: float
    recall: float
    stated_recall: float
    build_s: float
    index_bytes: int


def exact_cost(memory: BenchMemory, count: int, repeats: int = 5) -> SearchCost:
    """Measure exact searches over `count` embeddings."""
    embeddings = extended(memory, count)
    queries = memory.queries
    ours = ProjectedNeighbors(embeddings, Projection.fit(embeddings))
    functions: dict[str, Callable[[int], object]] = {
        "projected": lambda query: ours.search(queries[query], K)
    }
    if count <= _FLAT_AT_MOST:
        flat = FlatNeighbors(embeddings)
        functions["flat"] = lambda query: flat.search(queries[query], K)
    timings = in_turns_per_query(functions, len(queries), repeats)
    few = queries[: max(3, min(20, 400_000 // count))]
    formula = in_turns(
        {"formula": lambda: brute_force_neighbors(embeddings, few[0], K)}, repeats=3, warm_up=0
    )["formula"]
    same, measured = [], []
    for query in few:
        rows = ours.search(query, K)[1]
        measured.append(ours.measured)
        same.append(np.array_equal(rows, brute_force_neighbors(embeddings, query, K)[1]))
    return SearchCost(
        count=count,
        projected_ms=timings["projected"].median_ms,
        flat_ms=timings["flat"].median_ms if "flat" in timings else float("nan"),
        formula_ms=formula.median_ms,
        identical=float(np.mean(same)),
        measured_rows=float(np.median(measured)),
    )


def approximate_cost(
    memory: BenchMemory, count: int, timed: int, repeats: int = 5
) -> ApproximateCost:
    """Build an approximate index over `count` embeddings on disk, and ask it.

    All queries count for the recall, the first `timed` of them for the time.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        embeddings = extended(memory, count, path=root / "embeddings.npy")
        ids = np.resize(memory.demonstration_ids, count)
        started_s = time.perf_counter()
        # A camera sees real frames: the effort is chosen by those of the memory that are.
        real = np.arange(min(len(memory.embeddings), count))
        manifest = build_index(
            root / "index", embeddings, ids, "", IndexKind.APPROXIMATE, asked=real
        )
        build_s = time.perf_counter() - started_s
        search = open_index(root / "index", embeddings, "")
        if not isinstance(search, ApproximateNeighbors):
            raise TypeError(type(search).__name__)
        exact = ProjectedNeighbors(embeddings)
        queries = memory.queries
        timings = in_turns_per_query(
            {
                "approximate": lambda query: search.search(queries[query], K),
                "exact": lambda query: exact.search(queries[query], K),
            },
            min(timed, len(queries)),
            repeats,
        )
        hits = [recall_of(search.search(q, K)[0], exact.search(q, K)[0]) for q in queries]
        return ApproximateCost(
            count=count,
            query_ms=timings["approximate"].median_ms,
            exact_ms=timings["exact"].median_ms,
            recall=float(np.mean(hits)),
            stated_recall=manifest.recall or 0.0,
            build_s=build_s,
            index_bytes=sum(path.stat().st_size for path in (root / "index").iterdir()),
        )


def growth(costs: Sequence[SearchCost]) -> float:
    """The exponent p of the exact search's cost ~ N^p, fitted to two or more measured costs."""
    frames, milliseconds = np.log([[cost.count, cost.projected_ms] for cost in costs]).T
    return float(np.polyfit(frames, milliseconds, 1)[0])


def read_bandwidth_gb_s(repeats: int = 5) -> float:
    """The fastest streaming read of memory found, in one thread [GB/s]."""
    faiss.omp_set_num_threads(1)
    block = np.ones(_BANDWIDTH_BYTES // 4, np.float32)
    row = block.reshape(-1, 2**18)
    vector = np.ones(2**18, np.float32)
    timings = in_turns(
        {"sum": block.sum, "max": block.max, "product": lambda: row @ vector}, repeats
    )
    return block.nbytes / min(min(timing.seconds) for timing in timings.values()) / 1e9
