"""One step of measuring one search, in whatever environment has it.

    python -m measure.retrieval.peer build --search NAME --data FOLDER --out FILE
    python -m measure.retrieval.peer ask --search NAME --data FOLDER --out FILE

FOLDER holds embeddings.npy (N, D), queries.npy (Q, D), truth.npy (Q, k) true distances, ascending,
and added.npy, frames that are added at the end. `build` writes FOLDER/NAME; `ask` opens that, in a
process that has built nothing: the first half of the queries chooses the quickest setting that
reaches the recall, what is stated is of the second half. One query at a time, as a policy asks; in
one thread, if OMP_NUM_THREADS, OPENBLAS_NUM_THREADS and MKL_NUM_THREADS say so. `add` adds to it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from measure.retrieval.searches import PEERS, K, Peer, Search

WANTED_RECALL = 0.99
SAME = 1 + 1e-6
"""Distances that differ by rounding are the same neighbour's."""
REPEATS = 5
Figures = dict[str, float]


def memory_mib() -> dict[str, float]:
    """Of this process: its own memory, and pages of mapped files that it touched."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {
        "own_mib": int(found["RssAnon"].split()[0]) / 1024,
        "mapped_mib": int(found["RssFile"].split()[0]) / 1024,
    }


def recall(rows: Sequence[int], query: np.ndarray, truth: np.ndarray, vectors: np.ndarray) -> float:
    """Share of the true nearest that are among the rows, by distance: ties are alike."""
    chosen = [int(row) for row in rows if 0 <= int(row) < len(vectors)][:K]
    found = np.linalg.norm(vectors[chosen].astype(np.float64) - query, axis=1)
    return float((found <= truth[-1] * SAME).sum() / len(truth))


def times_s(search: Search, queries: np.ndarray, effort: int, candidates: int) -> list[float]:
    """Of each query, some times over."""
    seconds = []
    for _ in range(REPEATS):
        for query in queries:
            asked_s = time.perf_counter()
            search(query, effort, candidates)
            seconds.append(time.perf_counter() - asked_s)
    return seconds


def build(peer: Peer, path: Path, folder: Path) -> Figures:
    """The index, written; the time that took, writing included."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    started_s = time.perf_counter()
    peer.build(path, folder)
    build_s = time.perf_counter() - started_s
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"build_s": build_s, "disk_mib": disk / 2**20}


def ask(peer: Peer, path: Path, folder: Path) -> Figures:
    """The time of a query with the quickest setting that finds enough; recall; memory."""
    queries, truth = np.load(path.with_name("queries.npy")), np.load(path.with_name("truth.npy"))
    vectors = np.load(path, mmap_mode="r")
    before_mib = memory_mib()
    search = peer.open(path, folder)
    half = len(queries) // 2

    def mean_recall(part: slice, effort: int, candidates: int) -> float:
        found = [search(query, effort, candidates) for query in queries[part]]
        pairs = zip(found, queries[part], truth[part], strict=True)
        return float(np.mean([recall(rows, q, t, vectors) for rows, q, t in pairs]))

    # Where none reaches the recall, the one that comes nearest.
    best: tuple[float, float, int, int] | None = None
    for candidates in peer.candidates:
        for effort in peer.efforts:
            reached = min(mean_recall(slice(0, half), effort, candidates), WANTED_RECALL)
            median_s = float(np.median(times_s(search, queries[:half], effort, candidates)))
            told = f"effort {effort}, {candidates} candidates: recall {reached:.4f}"
            print(f"{told}, {1e3 * median_s:.3f} ms", file=sys.stderr, flush=True)
            best = min(best or (0.0, np.inf, 0, 0), (-reached, median_s, effort, candidates))
            if reached >= WANTED_RECALL or (best[0] == -WANTED_RECALL and median_s > best[1]):
                break
    assert best is not None
    effort, candidates = best[2:]
    seconds = times_s(search, queries[half:], effort, candidates)
    after_mib = memory_mib()
    return {
        "effort": effort,
        "candidates": candidates,
        "query_ms": 1e3 * float(np.median(seconds)),
        "p99_ms": 1e3 * float(np.quantile(seconds, 0.99)),
        "recall": mean_recall(slice(half, None), effort, candidates),
        **{name: after_mib[name] - before_mib[name] for name in after_mib},
    }


def add(peer: Peer, path: Path, folder: Path) -> Figures:
    """The time to put one more demonstration in; of an index that is open."""
    if peer.open_for_adding is None:
        return {}
    put = peer.open_for_adding(path, folder)
    added = np.load(path.with_name("added.npy"))
    started_s = time.perf_counter()
    put(added)
    return {"add_s": time.perf_counter() - started_s}


STEPS = {"build": build, "ask": ask, "add": add}


def main() -> None:
    """Take one step and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--search", choices=PEERS, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    path = given.data / "embeddings.npy"
    found = STEPS[given.step](PEERS[given.search], path, given.data / given.search)
    given.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
