"""FAISS's inverted file over principal components: which rows may be near, in one small file.

    PCA128 , IVF(4 sqrt N) , SQ8         in the words of FAISS's index factory

An embedding becomes m principal components; those lie in the list of the nearest centre, one byte a
component of what they differ by from it. A query reads the nearest lists and gets rows by their
estimated distance; who wants true ones measures (`vinn.retrieval.approximate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError
from vinn.reading.regular import check_regular, parsing
from vinn.retrieval.distances import inner_products

COMPONENTS = 128
_LISTS_PER_ROOT = 4
"""Lists = this times sqrt(N): balances finding the lists and reading them."""
_TRAINING_ROWS_PER_LIST = 40
_FIT_ROWS = 20_000
"""Rows the components are fitted to; more change them little."""
_BLOCK_ROWS = 50_000


@dataclass(frozen=True)
class InvertedFile:
    """Lists of rows by the components of their embeddings.

    Attributes:
        whole: `faiss.IndexPreTransform`, what is written; owns the parts.
        lists: `faiss.IndexIVFScalarQuantizer` over components (m,).
        axes: (m, D) the components' directions.
        offset: (m,) components of the origin.
    """

    whole: Any
    lists: Any
    axes: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def of(cls, whole: Any) -> InvertedFile:
        """The parts of an index that `build` made."""
        components: Any = faiss.downcast_VectorTransform(whole.chain.at(0))
        axes = faiss.vector_to_array(components.A).reshape(components.d_out, components.d_in)
        offset = faiss.vector_to_array(components.b)
        return cls(whole, faiss.downcast_index(whole.index), axes, offset)

    @classmethod
    def build(
        cls, embeddings: NDArray[np.floating], seed: int = 0, lists: int | None = None
    ) -> InvertedFile:
        """Fit components and centres and put all rows in; uses all processors.

        Args:
            embeddings: (N, D), single or half precision.
            seed: of the samples that components and centres are fitted to.
            lists: number of lists; None: 4 sqrt(N).
        """
        count, dimension = embeddings.shape
        if lists is None:
            lists = max(1, min(count, int(_LISTS_PER_ROOT * np.sqrt(count))))
        components: Any = faiss.PCAMatrix(dimension, min(COMPONENTS, dimension, count))
        components.train(_sample(embeddings, _FIT_ROWS, seed))
        index: Any = faiss.index_factory(components.d_out, f"IVF{lists},SQ8", faiss.METRIC_L2)
        index.cp.seed = seed
        # A memory of a few frames is no mistake to warn of.
        index.cp.min_points_per_centroid = 1
        index.train(components.apply(_sample(embeddings, _TRAINING_ROWS_PER_LIST * lists, seed)))
        whole: Any = faiss.IndexPreTransform(components, index)
        # FAISS keeps bare pointers: the whole shall own its parts.
        components.this.disown()
        index.this.disown()
        whole.own_fields = True
        found = cls.of(whole)
        found.put(embeddings)
        return found

    @classmethod
    def read(cls, path: Path) -> InvertedFile:
        """One that `write` wrote.

        Raises:
            ArtefactError: it cannot be read or is something else.
        """
        check_regular(path, ArtefactError)
        with parsing(path, ArtefactError, "a FAISS index"):
            whole: Any = faiss.read_index(str(path))
        kinds = [type(whole).__name__]
        if isinstance(whole, faiss.IndexPreTransform):
            kinds = _kinds_of_parts(whole)
        wanted = ["PCAMatrix", "IndexIVFScalarQuantizer"]
        if kinds != wanted:
            raise ArtefactError(
                f"{path}: {', '.join(kinds)}; allowed: {', '.join(wanted)} "
                "(make the index again: `vinn policy index`)"
            )
        with parsing(path, ArtefactError, "a FAISS index"):
            found = cls.of(whole)
        shapes = found.axes.shape, found.offset.shape
        if shapes != ((found.lists.d, found.dimension), (found.lists.d,)):
            raise ArtefactError(
                f"{path}: components of shapes {shapes} for lists of {found.lists.d}"
            )
        if not (np.isfinite(found.axes).all() and np.isfinite(found.offset).all()):
            raise ArtefactError(f"{path}: its components are not finite")
        return found

    def write(self, path: Path) -> None:
        """To a file."""
        faiss.write_index(self.whole, str(path))

    @property
    def count(self) -> int:
        """N, rows that are in it."""
        return int(self.whole.ntotal)

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return int(self.whole.d)

    @property
    def number_of_lists(self) -> int:
        """Lists: the most that can be read."""
        return int(self.lists.nlist)

    def put(self, embeddings: NDArray[np.floating]) -> None:
        """More rows (n, D), numbered on from those that are in it; nothing is fitted anew."""
        for start in range(0, len(embeddings), _BLOCK_ROWS):
            block = embeddings[start : start + _BLOCK_ROWS]
            self.whole.add(np.ascontiguousarray(block, np.float32))

    def emptied(self) -> None:
        """Without its rows; components and centres stay."""
        self.whole.reset()

    def place(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """(m,) components of an embedding (D,); in the caller's thread."""
        return inner_products(self.axes, query) + self.offset

    def rows_near(
        self,
        place: NDArray[np.float32],
        wanted: int,
        probes: int,
        left_out: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Rows of the `probes` lists nearest to components (m,), nearest first, at most `wanted`.

        Args:
            place: (m,), see `place`.
            wanted: most rows to name.
            probes: lists to read.
            left_out: rows that are not named; None: none.
        """
        parameters: Any = faiss.SearchParametersIVF()
        parameters.nprobe = probes
        if left_out is not None and len(left_out):
            # Both must outlive the search: FAISS keeps bare pointers.
            some = faiss.IDSelectorBatch(left_out)
            others = faiss.IDSelectorNot(some)
            parameters.sel = others
        found: NDArray[np.int64] = self.lists.search(place[None], wanted, params=parameters)[1][0]
        return found[found >= 0]

    def lists_by_distance(self, place: NDArray[np.float32]) -> NDArray[np.int64]:
        """(lists,) all of them, nearest first to components (m,)."""
        found: NDArray[np.int64] = self.lists.quantizer.search(place[None], self.number_of_lists)[1]
        return found[0]

    def list_of_each_row(self) -> NDArray[np.int64]:
        """(N,) the number of the list that each row is in."""
        found = np.zeros(self.count, np.int64)
        stored = self.lists.invlists
        for number in range(self.number_of_lists):
            size = stored.list_size(number)
            if size:
                found[faiss.rev_swig_ptr(stored.get_ids(number), size)] = number
        return found


def _kinds_of_parts(whole: Any) -> list[str]:
    """Names of the classes of an `IndexPreTransform`'s transforms, in order, and of its index."""
    transforms = [whole.chain.at(number) for number in range(whole.chain.size())]
    parts = [*map(faiss.downcast_VectorTransform, transforms), faiss.downcast_index(whole.index)]
    return [type(part).__name__ for part in parts]


def _sample(embeddings: NDArray[np.floating], most: int, seed: int) -> NDArray[np.float32]:
    """(n, D) some of the rows, in their order; all where there are no more."""
    rows = np.arange(len(embeddings))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    return np.ascontiguousarray(embeddings[rows], np.float32)
