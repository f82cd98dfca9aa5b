"""Neighbours in a vector database: for memories that are larger than one machine.

A collection of Milvus holds the embeddings, its row numbers are ours. `uri` is a server
("http://HOST:19530") or, for trying it out, a file of Milvus Lite ("memory.db"). Needs the extra
'milvus'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.retrieval.neighbors import check_search

_BATCH_ROWS = 1000
_MOST_NEIGHBORS = 16_384
"""Milvus' own limit."""


class MilvusNeighbors:
    """`vinn.retrieval.neighbors.Neighbors` by a collection that `fill_collection` made."""

    def __init__(self, uri: str, collection: str) -> None:
        """Connect and load the collection.

        Raises:
            ArtefactError: no such database or collection.
            ModuleNotFoundError: pymilvus is not installed.
        """
        self._client, self._collection = _connect(uri), collection
        try:
            if not self._client.has_collection(collection):
                raise ArtefactError(f"{uri}: has no collection '{collection}'")
            self._client.load_collection(collection)
            fields = self._client.describe_collection(collection)["fields"]
            vectors = next(field for field in fields if field["name"] == "embedding")
            self._dimension = int(vectors["params"]["dim"])
            rows = self._client.query(
                collection, filter="", output_fields=["count(*)"], consistency_level="Strong"
            )
        except _milvus_error() as cause:
            raise ArtefactError(f"{uri}: {cause.message}") from cause
        self._count = int(rows[0]["count(*)"])

    @property
    def count(self) -> int:
        """N, the number of stored embeddings."""
        return self._count

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return self._dimension

    def search(
        self, query: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """See `vinn.retrieval.neighbors.Neighbors.search`; exact if the collection's index is."""
        check_search(query, k, self._count, self._dimension)
        if k > _MOST_NEIGHBORS:
            raise ConfigError(f"k: {k} neighbours; Milvus allows: 1..{_MOST_NEIGHBORS}")
        hits = self._client.search(
            self._collection,
            data=[query.astype(np.float32).tolist()],
            limit=k,
            anns_field="embedding",
            consistency_level="Strong",
        )[0]
        rows = np.array([hit["row"] for hit in hits], np.int64)
        # Milvus' metric L2 is the squared distance; rounding may leave it below 0.
        squared = np.array([hit["distance"] for hit in hits], np.float64)
        distances = np.sqrt(np.maximum(squared, 0))
        order = np.lexsort((rows, distances))
        return distances[order], rows[order]

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def fill_collection(
    uri: str,
    collection: str,
    embeddings: NDArray[np.floating],
    index: str = "FLAT",
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Put embeddings (N, D) into a new collection.

    Args:
        uri: server, or file of Milvus Lite.
        collection: its name; must not exist.
        embeddings: may be mapped from disk.
        index: of Milvus, e.g. "FLAT" (exact), "HNSW" or "AUTOINDEX".
        on_progress: called with (rows done, N).

    Raises:
        ArtefactMismatchError: the collection exists.
        ArtefactError: the server cannot be reached or refuses.
    """
    client = _connect(uri)
    import pymilvus

    try:
        if client.has_collection(collection):
            raise ArtefactMismatchError(f"{uri}: has a collection '{collection}' already")
        schema = client.create_schema(auto_id=False)
        schema.add_field("row", pymilvus.DataType.INT64, is_primary=True)
        schema.add_field("embedding", pymilvus.DataType.FLOAT_VECTOR, dim=embeddings.shape[1])
        parameters = client.prepare_index_params()
        parameters.add_index("embedding", index_type=index, metric_type="L2")
        client.create_collection(collection, schema=schema, index_params=parameters)
        for start in range(0, len(embeddings), _BATCH_ROWS):
            block = np.asarray(embeddings[start : start + _BATCH_ROWS], np.float32)
            client.insert(
                collection,
                [{"row": start + row, "embedding": e.tolist()} for row, e in enumerate(block)],
            )
            if on_progress is not None:
                on_progress(start + len(block), len(embeddings))
        client.flush(collection)
    except _milvus_error() as cause:
        raise ArtefactError(f"{uri}: {cause.message}") from cause
    finally:
        client.close()


def _connect(uri: str) -> Any:
    import pymilvus

    try:
        return pymilvus.MilvusClient(uri)
    except _milvus_error() as cause:
        raise ArtefactError(f"{uri}: cannot be reached: {cause.message}") from cause


def _milvus_error() -> type[Any]:
    import pymilvus

    return pymilvus.MilvusException
