"""Each library's search: build an index into a folder, open it, add to it; each imports its own.

Settings are the library's own defaults or what its guide starts with, in one thread. Vectors that
are compared stay mapped from disk where the library can, as ours are. Imports nothing of the
project but for the searches of "ours".
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

K = 10
EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512)
CANDIDATES = (20, 40, 80, 160, 320, 640)
"""That are measured by their true distance, where a search re-ranks what it found."""
_BLOCK_ROWS = 50_000

Search = Callable[[np.ndarray, int, int], Sequence[int]]
"""(query (D,), effort, candidates) to rows, about K."""
Add = Callable[[np.ndarray], object]
"""Puts rows (n, D) in."""


@dataclass(frozen=True)
class Peer:
    """A library's search.

    Attributes:
        build: (embeddings.npy (N, D) float32, new folder): writes the index.
        open: (the same): the search.
        open_for_adding: (the same): puts rows in; None: not measured.
        efforts: to choose from, ascending; (0,): the search knows its own.
        candidates: to choose from; (0,): nothing is re-ranked.
    """

    build: Callable[[Path, Path], object]
    open: Callable[[Path, Path], Search]
    open_for_adding: Callable[[Path, Path], Add] | None = None
    efforts: tuple[int, ...] = EFFORTS
    candidates: tuple[int, ...] = (0,)


def blocks(path: Path) -> list[np.ndarray]:
    """The embeddings, mapped, some at a time."""
    embeddings = np.load(path, mmap_mode="r")
    return [embeddings[at : at + _BLOCK_ROWS] for at in range(0, len(embeddings), _BLOCK_ROWS)]


def ours(kind: str, tuned: bool = False) -> Peer:
    """`vinn.retrieval`, exact ("projected") or "approximate".

    `tuned`: over the index of "ours", with the effort chosen here as others' is, not by itself.
    """

    def build(path: Path, folder: Path) -> None:
        from vinn.retrieval.index import IndexKind, build_index

        if tuned:
            (folder / "index").symlink_to(path.parent / "ours" / "index")
            return
        embeddings = np.load(path, mmap_mode="r")
        ids = np.load(path.with_name("ids.npy"))
        real = np.arange(min(int(np.load(path.with_name("real.npy"))), len(embeddings)))
        build_index(folder / "index", embeddings, ids, "", IndexKind(kind), asked=real)

    def search(path: Path, folder: Path) -> Search:
        from vinn.retrieval.approximate import ApproximateNeighbors
        from vinn.retrieval.index import open_index

        found = open_index(folder / "index", np.load(path, mmap_mode="r"), "")

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            if isinstance(found, ApproximateNeighbors) and effort:
                found.probes, found.candidates_per_neighbor = effort, candidates // K
            rows: Sequence[int] = found.search(query, K)[1].tolist()
            return rows

        return ask

    def add(path: Path, folder: Path) -> Add:
        """As `vinn demos add` does: the file written anew, what was fitted kept."""
        from vinn.retrieval.index import IndexKind, build_index

        embeddings = np.load(path, mmap_mode="r")
        ids = np.load(path.with_name("ids.npy"))

        def put(rows: np.ndarray) -> None:
            with tempfile.TemporaryDirectory(dir=folder) as new:
                np.save(f"{new}/all.npy", np.concatenate([embeddings, rows]))
                more = np.load(f"{new}/all.npy", mmap_mode="r")
                more_ids = np.concatenate([ids, np.full(len(rows), int(ids.max()) + 1)])
                kept = folder / "index"
                build_index(Path(new) / "index", more, more_ids, "", IndexKind(kind), kept=kept)

        return put

    if tuned:
        return Peer(build, search, efforts=PROBES, candidates=CANDIDATES)
    return Peer(build, search, add, efforts=(0,))


def faiss_factory(description: str, effort_name: str) -> Peer:
    """An index of FAISS's factory; `effort_name` is what a query's effort is called there."""

    def build(path: Path, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        embeddings = np.load(path, mmap_mode="r")
        text = description.replace("LISTS", str(lists_of(len(embeddings))))
        index = faiss.index_factory(embeddings.shape[1], text)
        if not index.is_trained:
            index.train(np.array(embeddings[:: max(1, len(embeddings) // 100_000)]))
        for block in blocks(path):
            index.add(block)
        faiss.write_index(index, str(folder / "index.faiss"))

    def search(path: Path, folder: Path) -> Search:
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
        space = faiss.ParameterSpace()

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            if state != [effort, candidates]:
                space.set_index_parameter(index, effort_name, max(effort, candidates * in_graph))
                if candidates:
                    index.k_factor = candidates / K
                state[:] = [effort, candidates]
            rows: Sequence[int] = index.search(query[None], K)[1][0]
            return rows

        state = [-1, -1]
        in_graph = int(effort_name == "efSearch")
        return ask

    def add(path: Path, folder: Path) -> Add:
        import faiss

        faiss.omp_set_num_threads(1)
        added: Add = faiss.read_index(str(folder / "index.faiss")).add
        return added

    lists = PROBES if effort_name == "nprobe" else EFFORTS
    return Peer(build, search, add, lists, CANDIDATES if "RFlat" in description else (0,))


def lists_of(count: int) -> int:
    """Of an inverted file: about four square roots of its rows, as FAISS's guide advises."""
    return int(2 ** round(np.log2(4 * count**0.5)))


def usearch() -> Peer:
    """Unum's HNSW, vectors in bfloat16."""

    def build(path: Path, folder: Path) -> None:
        from usearch.index import Index

        index = Index(ndim=np.load(path, mmap_mode="r").shape[1], metric="l2sq", dtype="bf16")
        for block in blocks(path):
            index.add(np.arange(len(index), len(index) + len(block)), block, threads=1)
        index.save(str(folder / "index.usearch"))

    def search(path: Path, folder: Path) -> Search:
        from usearch.index import Index

        index = Index.restore(str(folder / "index.usearch"), view=True)

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            index.expansion_search = effort
            return index.search(query, K, threads=1).keys  # type: ignore[no-any-return]

        return ask

    def add(path: Path, folder: Path) -> Add:
        from usearch.index import Index

        index = Index.restore(str(folder / "index.usearch"))
        return lambda rows: index.add(
            np.arange(len(index), len(index) + len(rows)), rows, threads=1
        )

    return Peer(build, search, add)


def hnswlib() -> Peer:
    """The HNSW of its authors."""

    def opened(path: Path, folder: Path) -> Any:
        import hnswlib as library

        count, dimension = np.load(path, mmap_mode="r").shape
        index = library.Index(space="l2", dim=dimension)
        index.set_num_threads(1)
        file = str(folder / "index.hnswlib")
        if Path(file).exists():
            index.load_index(file, max_elements=count + 1000)
        else:
            index.init_index(max_elements=count, ef_construction=200, M=16)
        return index

    def build(path: Path, folder: Path) -> None:
        index = opened(path, folder)
        for block in blocks(path):
            index.add_items(block, num_threads=1)
        index.save_index(str(folder / "index.hnswlib"))

    def search(path: Path, folder: Path) -> Search:
        index = opened(path, folder)

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            index.set_ef(effort)
            return index.knn_query(query, K, num_threads=1)[0][0]  # type: ignore[no-any-return]

        return ask

    def add(path: Path, folder: Path) -> Add:
        index = opened(path, folder)
        return lambda rows: index.add_items(rows, num_threads=1)

    return Peer(build, search, add)


def ngt() -> Peer:
    """Yahoo's ANNG graph."""

    def build(path: Path, folder: Path) -> None:
        import ngtpy

        ngtpy.create(str(folder / "ngt"), np.load(path, mmap_mode="r").shape[1])
        index = ngtpy.Index(str(folder / "ngt"), log_disabled=True)
        for block in blocks(path):
            index.batch_insert(np.array(block), num_threads=1)
        index.save()
        index.close()

    def search(path: Path, folder: Path) -> Search:
        import ngtpy

        index = ngtpy.Index(str(folder / "ngt"), read_only=True, log_disabled=True)

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            found = index.search(query, size=K, epsilon=effort / 1000, with_distance=False)
            return found  # type: ignore[no-any-return]

        return ask

    def add(path: Path, folder: Path) -> Add:
        import ngtpy

        index = ngtpy.Index(str(folder / "ngt"), log_disabled=True)
        return lambda rows: index.batch_insert(rows, num_threads=1)

    return Peer(build, search, add)


def scann() -> Peer:
    """Google's tree of quantised residuals, with re-ordering."""

    def build(path: Path, folder: Path) -> None:
        import scann as library

        embeddings = np.load(path, mmap_mode="r")
        count = len(embeddings)
        leaves = int(count**0.5)
        builder = library.scann_ops_pybind.builder(embeddings, K, "squared_l2")
        index = (
            builder.set_n_training_threads(1)
            .tree(leaves, max(1, leaves // 10), training_sample_size=min(count, 250_000))
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(100)
            .build()
        )
        index.serialize(str(folder))

    def search(path: Path, folder: Path) -> Search:
        import scann as library

        index = library.scann_ops_pybind.load_searcher(str(folder))
        leaves = int(len(np.load(path, mmap_mode="r")) ** 0.5)

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            found = index.search(
                query,
                leaves_to_search=min(leaves, effort),
                pre_reorder_num_neighbors=candidates,
            )
            return found[0]  # type: ignore[no-any-return]

        return ask

    return Peer(build, search, efforts=PROBES, candidates=CANDIDATES)


def svs(kind: str) -> Peer:
    """Intel's Vamana graph: over the vectors ("plain"), or over LeanVec's reduced ones."""

    def build(path: Path, folder: Path) -> None:
        import svs as library

        embeddings = np.load(path, mmap_mode="r")
        parameters = library.VamanaBuildParameters(graph_max_degree=32, window_size=64, alpha=1.2)
        data: Any = embeddings
        if kind == "leanvec":
            library.write_vecs(embeddings, str(folder / "data.fvecs"))
            loader = library.VectorDataLoader(
                str(folder / "data.fvecs"), library.DataType.float32, dims=embeddings.shape[1]
            )
            data = library.LeanVecLoader(loader, leanvec_dims=160)
        index = library.Vamana.build(parameters, data, library.DistanceType.L2, num_threads=1)
        index.save(*(str(folder / part) for part in ("config", "graph", "data")))
        (folder / "data.fvecs").unlink(missing_ok=True)

    def search(path: Path, folder: Path) -> Search:
        import svs as library

        data = str(folder / "data")
        loader = (
            library.LeanVecLoader(data)
            if kind == "leanvec"
            else library.VectorDataLoader(data, library.DataType.float32)
        )
        graph = library.GraphLoader(str(folder / "graph"))
        index = library.Vamana(str(folder / "config"), graph, loader, num_threads=1)

        def ask(query: np.ndarray, effort: int, candidates: int) -> Sequence[int]:
            if index.search_window_size != effort:
                index.search_window_size = effort
            return index.search(query[None], K)[0][0]  # type: ignore[no-any-return]

        return ask

    return Peer(build, search)


PEERS: dict[str, Peer] = {
    "ours": ours("approximate"),
    "ours-tuned": ours("approximate", tuned=True),
    "ours-exact": ours("projected"),
    "faiss-hnsw": faiss_factory("HNSW32,Flat", "efSearch"),
    "faiss-pca-hnsw-sq-refine": faiss_factory("PCA128,HNSW32_SQfp16,RFlat", "efSearch"),
    "faiss-pca-ivf-pq-refine": faiss_factory("PCA128,IVFLISTS,PQ64x4fs,RFlat", "nprobe"),
    "faiss-pca-ivf-sq-refine": faiss_factory("PCA128,IVFLISTS,SQ8,RFlat", "nprobe"),
    "usearch-hnsw": usearch(),
    "hnswlib": hnswlib(),
    "ngt-anng": ngt(),
    "scann": scann(),
    "svs-vamana": svs("plain"),
    "svs-leanvec": svs("leanvec"),
}
