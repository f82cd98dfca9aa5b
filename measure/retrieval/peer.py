"""One search over one memory, in whatever environment has it: time, recall, memory, building.

    python peer.py --search NAME --data FOLDER --out FILE

FOLDER holds embeddings.npy (N, D), queries.npy (Q, D), truth.npy (Q, k) true distances, ascending,
and added.npy, frames that are added at the end. Imports nothing of the project but for the search
"ours". The first half of the queries chooses the least effort that reaches the recall; what is
stated is of the second half. One query at a time, as a policy asks; in one thread, if
OMP_NUM_THREADS, OPENBLAS_NUM_THREADS and MKL_NUM_THREADS say so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

K = 10
WANTED_RECALL = 0.99
SAME = 1 + 1e-6
"""Distances that differ by rounding are the same neighbour's."""
REPEATS = 3
CANDIDATES = 100
"""That are measured by their true distance, at least, where a search re-ranks what it found."""
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)

Search = Callable[[np.ndarray, int], Sequence[int]]
"""(query (D,), effort) to rows, about K."""
Add = Callable[[np.ndarray], object]


class Built:
    """An index that is ready.

    Attributes:
        search: see `Search`.
        add: puts rows in, or None where the index has to be built anew.
    """

    def __init__(self, search: Search, add: Add | None = None) -> None:
        self.search, self.add = search, add


def ours(path: Path, work: Path) -> Built:
    """`vinn.retrieval`, approximate; vectors are mapped from disk."""
    from vinn.retrieval.index import IndexKind, build_index, open_index, read_projection

    embeddings = np.load(path, mmap_mode="r")
    ids = np.load(path.with_name("ids.npy"))
    real = np.arange(min(int(np.load(path.with_name("real.npy"))), len(embeddings)))
    build_index(work / "index", embeddings, ids, "", IndexKind.APPROXIMATE, asked=real)
    found = open_index(work / "index", embeddings, "")

    def add(rows: np.ndarray) -> None:
        """As `vinn demos add` does: the file written anew, the projection kept."""
        np.save(work / "all.npy", np.concatenate([embeddings, rows]))
        more = np.load(work / "all.npy", mmap_mode="r")
        more_ids = np.concatenate([ids, np.full(len(rows), int(ids.max()) + 1)])
        projection = read_projection(work / "index")
        build_index(work / "new", more, more_ids, "", IndexKind.APPROXIMATE, projection=projection)

    return Built(lambda query, effort: found.search(query, K)[1].tolist(), add)


def faiss_factory(description: str, effort_name: str) -> Callable[[Path, Path], Built]:
    """An index of FAISS's factory; `effort_name` is what a query's effort is called there."""

    def build(path: Path, work: Path) -> Built:
        import faiss

        faiss.omp_set_num_threads(1)
        embeddings = np.load(path)
        text = description.replace("LISTS", str(lists_of(len(embeddings))))
        index = faiss.index_factory(embeddings.shape[1], text)
        index.train(embeddings[:: max(1, len(embeddings) // 100_000)])
        index.add(embeddings)
        space = faiss.ParameterSpace()

        def search(query: np.ndarray, effort: int) -> Sequence[int]:
            space.set_index_parameter(index, effort_name, effort)
            if "RFlat" in text:
                index.k_factor = max(CANDIDATES, 4 * effort) / K
            rows: Sequence[int] = index.search(query[None], K)[1][0]
            return rows

        return Built(search, index.add)

    return build


def lists_of(count: int) -> int:
    """Of an inverted file: about four square roots of its rows, as FAISS's guide advises."""
    return int(2 ** round(np.log2(4 * count**0.5)))


def usearch(path: Path, work: Path) -> Built:
    """Unum's HNSW, vectors in bfloat16."""
    from usearch.index import Index

    embeddings = np.load(path)
    index = Index(ndim=embeddings.shape[1], metric="l2sq", dtype="bf16", connectivity=32)
    index.add(np.arange(len(embeddings)), embeddings, threads=1)

    def search(query: np.ndarray, effort: int) -> Sequence[int]:
        index.expansion_search = effort
        return index.search(query, K, threads=1).keys  # type: ignore[no-any-return]

    def add(rows: np.ndarray) -> None:
        index.add(np.arange(len(index), len(index) + len(rows)), rows, threads=1)

    return Built(search, add)


def hnswlib(path: Path, work: Path) -> Built:
    """The HNSW of its authors."""
    import hnswlib as library

    embeddings = np.load(path)
    index = library.Index(space="l2", dim=embeddings.shape[1])
    index.init_index(max_elements=len(embeddings) + 1000, ef_construction=200, M=32)
    index.set_num_threads(1)
    index.add_items(embeddings)

    def search(query: np.ndarray, effort: int) -> Sequence[int]:
        index.set_ef(effort)
        return index.knn_query(query, K)[0][0]  # type: ignore[no-any-return]

    return Built(search, index.add_items)


def ngt(path: Path, work: Path) -> Built:
    """Yahoo's ANNG graph."""
    import ngtpy

    embeddings = np.load(path)
    folder = str(work / "ngt")
    ngtpy.create(folder, embeddings.shape[1], edge_size_for_creation=20, distance_type="L2")
    index = ngtpy.Index(folder, log_disabled=True)
    index.batch_insert(embeddings, num_threads=1)

    def search(query: np.ndarray, effort: int) -> Sequence[int]:
        found = index.search(query, size=K, epsilon=effort / 1000, with_distance=False)
        return found  # type: ignore[no-any-return]

    return Built(search, lambda rows: index.batch_insert(rows, num_threads=1))


def scann(path: Path, work: Path) -> Built:
    """Google's tree of quantised residuals, with re-ordering."""
    import scann as library

    embeddings = np.load(path)
    count = len(embeddings)
    leaves = int(count**0.5)
    builder = library.scann_ops_pybind.builder(embeddings, K, "squared_l2")
    builder = builder.set_n_training_threads(1)
    index = (
        builder.tree(leaves, max(1, leaves // 10), training_sample_size=min(count, 250_000))
        .score_ah(2, anisotropic_quantization_threshold=0.2)
        .reorder(CANDIDATES)
        .build()
    )

    def search(query: np.ndarray, effort: int) -> Sequence[int]:
        found = index.search(query, leaves_to_search=min(leaves, effort))
        return found[0]  # type: ignore[no-any-return]

    return Built(search)


def svs(kind: str) -> Callable[[Path, Path], Built]:
    """Intel's Vamana graph: over the vectors, or over LeanVec's reduced ones."""

    def build(path: Path, work: Path) -> Built:
        import svs as library

        embeddings = np.load(path)
        parameters = library.VamanaBuildParameters(graph_max_degree=64, window_size=128, alpha=1.2)
        distance = library.DistanceType.L2
        data: Any = embeddings
        if kind == "leanvec":
            library.write_vecs(embeddings, str(work / "data.fvecs"))
            loader = library.VectorDataLoader(
                str(work / "data.fvecs"), library.DataType.float32, dims=embeddings.shape[1]
            )
            data = library.LeanVecLoader(loader, leanvec_dims=160)
        index = library.Vamana.build(parameters, data, distance, num_threads=1)

        def search(query: np.ndarray, effort: int) -> Sequence[int]:
            if index.search_window_size != effort:
                index.search_window_size = effort
            return index.search(query[None], K)[0][0]  # type: ignore[no-any-return]

        return Built(search)

    return build


SEARCHES: dict[str, Callable[[Path, Path], Built]] = {
    "ours": ours,
    "faiss-hnsw": faiss_factory("HNSW32,Flat", "efSearch"),
    "faiss-ivf-pq-refine": faiss_factory("IVFLISTS,PQ64x4fs,RFlat", "nprobe"),
    "faiss-pca-ivf-sq-refine": faiss_factory("PCA128,IVFLISTS,SQ8,RFlat", "nprobe"),
    "usearch-hnsw": usearch,
    "hnswlib": hnswlib,
    "ngt-anng": ngt,
    "scann": scann,
    "svs-vamana": svs("plain"),
    "svs-leanvec": svs("leanvec"),
}


def resident_mib() -> float:
    """Memory of this process that is in use, mapped files included."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def recall(rows: Sequence[int], query: np.ndarray, truth: np.ndarray, vectors: np.ndarray) -> float:
    """Share of the true nearest that are among the rows, by distance: ties are alike."""
    chosen = [int(row) for row in rows if 0 <= int(row) < len(vectors)][:K]
    found = np.linalg.norm(vectors[chosen].astype(np.float64) - query, axis=1)
    return float((found <= truth[-1] * SAME).sum() / len(truth))


def measure(name: str, data: Path, work: Path) -> dict[str, float | str | None]:
    """Build, choose the effort, ask, add."""
    path = data / "embeddings.npy"
    queries, truth = np.load(data / "queries.npy"), np.load(data / "truth.npy")
    vectors = np.load(path, mmap_mode="r")
    before_mib = resident_mib()
    started_s = time.perf_counter()
    built = SEARCHES[name](path, work)
    build_s = time.perf_counter() - started_s
    half = len(queries) // 2

    def mean_recall(part: slice, effort: int) -> float:
        pairs = zip(queries[part], truth[part], strict=True)
        shares = [recall(built.search(q, effort), q, t, vectors) for q, t in pairs]
        return float(np.mean(shares))

    efforts = (0,) if name == "ours" else EFFORTS
    for effort in efforts:
        reached = mean_recall(slice(0, half), effort)
        print(f"{name}: effort {effort}, recall {reached:.4f}", file=sys.stderr, flush=True)
        if reached >= WANTED_RECALL:
            break
    seconds = []
    for _ in range(REPEATS):
        for query in queries[half:]:
            asked_s = time.perf_counter()
            built.search(query, effort)
            seconds.append(time.perf_counter() - asked_s)
    result: dict[str, float | str | None] = {
        "effort": effort,
        "query_ms": 1e3 * float(np.median(seconds)),
        "recall": mean_recall(slice(half, None), effort),
        "build_s": build_s,
        "resident_mib": resident_mib() - before_mib,
        "add_s": None,
    }
    if built.add is not None:
        added = np.load(data / "added.npy")
        started_s = time.perf_counter()
        built.add(added)
        result["add_s"] = time.perf_counter() - started_s
    return result


def main() -> None:
    """Measure one and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--search", choices=SEARCHES, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data) as work:
        result = measure(given.search, given.data, Path(work))
    given.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
