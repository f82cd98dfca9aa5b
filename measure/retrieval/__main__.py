"""Retrieval against its peers: every search in an environment of its own, on the same embeddings.

    python -m measure.retrieval --dataset DEMOS --encoder ENCODER --sizes 10000 100000 1000000
    python -m measure.retrieval ... --steps build            # in parts: leave the machine alone
    python -m measure.retrieval ... --steps ask add          # for these

Embeds a dataset, holds out every fifth demonstration to ask about, extends the others to the wanted
number of frames (`vinn.bench.memories`) and lets each search of `measure/retrieval/searches.py`
build an index, answer from it in another process, and add a demonstration; one thread each. The
quickest setting that finds 99 % of the true ten nearest of half of the queries counts; what is
stated is of the other half. What is done is kept in the work folder: run again to resume, with
`--again` to take the steps named anew. Adds its rows to performance.json and draws retrieval.svg.
Needs the package index, 12 GiB of memory and 60 GiB of disk for a million frames.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from vinn.bench.memories import extended, hold_out
from vinn.cli.console import progress_bar
from vinn.demos.files import atomic_path
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_for_datasets
from vinn.evaluation.results import Results
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.retrieval.projected import ProjectedNeighbors
from vinn.retrieval.projection import Projection
from vinn.viz import plots
from vinn.viz.output import write_text

from measure.retrieval.peer import STEPS
from measure.retrieval.searches import PEERS, K

PINS = {
    "ours": "",
    "ours-tuned": "",
    "ours-exact": "",
    "faiss-hnsw": "faiss-cpu==1.15.1",
    "faiss-pca-hnsw-sq-refine": "faiss-cpu==1.15.1",
    "faiss-pca-ivf-pq-refine": "faiss-cpu==1.15.1",
    "faiss-pca-ivf-sq-refine": "faiss-cpu==1.15.1",
    "usearch-hnsw": "usearch==2.26.6",
    "hnswlib": "hnswlib==0.8.0",
    "ngt-anng": "ngt==2.8.0.post1",
    "scann": "scann==1.4.2",
    "svs-vamana": "scalable-vs==0.5.0",
    "svs-leanvec": "scalable-vs==0.5.0",
}
"""What is installed for each; nothing: it is run where this runs."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ROOT = Path(__file__).parents[2]
QUERIES = 400
ADDED_FRAMES = 60
"""A demonstration."""
GOAL = 0.6
"""Of the best peer's query time."""
PLOTTED = ("ours", "ours-exact", "faiss-pca-ivf-sq-refine", "scann", "usearch-hnsw", "svs-vamana")
"""One of each kind: there are as many colours."""
MEASURED = re.compile(r"peers at (?P<count>[\d,]+) augmented frames, (?P<search>\S+) \(")
"""The row of one search at one size."""
LEAST_RECALL = 0.98
"""Of the half that was not chosen on, to count as reached."""


def prepare(given: argparse.Namespace, count: int) -> Path:
    """Embeddings, queries and true distances of one size, made once."""
    folder: Path = given.work / str(count)
    if (folder / "truth.npy").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(given.dataset)
    with progress_bar("embedding") as told:
        embedded = embed_dataset(dataset, load_for_datasets(given.encoder), told)
    ids = np.repeat(
        np.arange(len(dataset.demonstrations)),
        [len(demonstration.frame_paths) for demonstration in dataset.demonstrations],
    )
    memory = hold_out(embedded.embeddings, ids, QUERIES)
    embeddings = extended(memory, count, path=folder / "embeddings.npy")
    np.save(folder / "ids.npy", np.resize(memory.demonstration_ids, count))
    np.save(folder / "real.npy", len(memory.embeddings))
    np.save(folder / "queries.npy", memory.queries)
    np.save(folder / "added.npy", memory.queries[:ADDED_FRAMES])
    exact = ProjectedNeighbors(embeddings, Projection.fit(embeddings))
    with progress_bar(f"true neighbours of {count:,}") as told:
        truth = []
        for query in memory.queries:
            truth.append(exact.search(query, K)[0])
            told(len(truth), len(memory.queries))
    with atomic_path(folder / "truth.npy") as path, path.open("wb") as file:
        np.save(file, np.array(truth))
    return folder


def python_of(name: str, work: Path) -> str:
    """The interpreter that a search runs in; its environment is made once."""
    pin = PINS[name]
    if not pin:
        return sys.executable
    folder = work / "environments" / pin
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        numpy = f"numpy=={version('numpy')}"
        subprocess.run([str(python), "-m", "pip", "install", "-q", numpy, pin], check=True)
        (folder / "ready").touch()
    return str(python)


def measured(name: str, folder: Path, given: argparse.Namespace) -> dict[str, float] | str:
    """What a search was found to cost, or why it could not be run; kept in the folder."""
    found: dict[str, float] = {}
    for step in STEPS:
        out = folder / f"{name}-{step}.json"
        if step in given.steps and (given.again or not out.exists()):
            out.unlink(missing_ok=True)
            limit_s = 60 * given.limit_minutes
            options = ["--search", name, "--data", folder, "--out", out]
            command = [python_of(name, given.work), "-m", "measure.retrieval.peer", step, *options]
            environment = {**os.environ, **ONE_THREAD}
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, timeout=limit_s
                )
                said = done.stderr.decode().strip().splitlines()
                if done.returncode:
                    why = f"{step} fails with {done.returncode}: {said[-1] if said else 'no word'}"
                    out.write_text(json.dumps(why), encoding="utf-8")
            except subprocess.TimeoutExpired:
                why = f"{step} does not end within {given.limit_minutes:g} minutes"
                out.write_text(json.dumps(why), encoding="utf-8")
        if not out.exists():
            if step == "add":
                continue
            return f"{step} was not run to its end"
        result = json.loads(out.read_text(encoding="utf-8"))
        if isinstance(result, str):
            return result
        found |= result
    return found


def report(found: dict[int, dict[str, dict[str, float] | str]], out: Path, command: str) -> None:
    """Rows of performance.json, measured by a command, and the plot."""
    results = Results.continued(out, "performance", command)
    for count, searches in found.items():
        prefix = f"peers at {count:,} augmented frames"
        reached: dict[str, float] = {}
        for name, cost in searches.items():
            what = f"{prefix}, {name} ({PINS[name] or 'this project'})"
            if isinstance(cost, str):
                results.add(what, cost)
                continue
            added = f"added in {cost['add_s']:.2f} s" if "add_s" in cost else "not added"
            built = f"built in {cost['build_s']:.0f} s, {cost['disk_mib']:.0f} MiB on disk"
            if not cost["disk_mib"]:
                built = "the index of ours"
            results.add(
                what,
                round(cost["query_ms"], 3),
                f"ms a query; recall at {K} {cost['recall']:.4f}; {built}; "
                f"{cost['own_mib']:.0f} MiB of its own memory "
                f"and {cost['mapped_mib']:.0f} of mapped files; a demonstration {added}",
            )
            if cost["recall"] >= LEAST_RECALL:
                reached[name] = cost["query_ms"]
        peers = {name: ms for name, ms in reached.items() if PINS[name]}
        if "ours" in reached and peers:
            best = min(peers, key=lambda name: peers[name])
            results.add(
                f"{prefix}: ours over the best peer",
                round(reached["ours"] / peers[best], 2),
                f"x of {best}'s query time",
                f"<= {GOAL}",
            )
    results.write(out)
    write_text(out / "retrieval.svg", query_plot(results))


def query_plot(results: Results) -> str:
    """Query time against the number of frames, of all sizes that were measured, an SVG."""
    series: dict[str, dict[int, float]] = {name: {} for name in PLOTTED}
    for row in results.rows:
        found = MEASURED.match(row.name)
        if found and found["search"] in series and not isinstance(row.value, str):
            series[found["search"]][int(found["count"].replace(",", ""))] = float(row.value)
    lines = {
        name: (sorted(costs), [costs[count] for count in sorted(costs)])
        for name, costs in series.items()
        if costs
    }
    axes = "demonstration frames", "a query, one thread [ms]"
    return plots.lines(lines, *axes, max_legend=len(PLOTTED), logarithmic=True)


def main() -> None:
    """Prepare, run what is missing, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True, help="exported encoder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--searches", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--again", action="store_true", help="take them though they were taken")
    parser.add_argument("--limit-minutes", type=float, default=120.0, help="of a step")
    parser.add_argument("--work", type=Path, default=Path("runs/retrieval"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    given.work = given.work.resolve()
    found: dict[int, dict[str, dict[str, float] | str]] = {}
    for count in given.sizes:
        folder = prepare(given, count)
        found[count] = {}
        for name in given.searches:
            print(f"{count:,} frames: {name}", file=sys.stderr, flush=True)
            found[count][name] = measured(name, folder, given)
            print(f"  {found[count][name]}", file=sys.stderr, flush=True)
    command = f"python -m measure.retrieval --dataset {given.dataset.name}"
    command += f" --encoder {given.encoder.name} --sizes {' '.join(map(str, given.sizes))}"
    report(found, given.out, command)


if __name__ == "__main__":
    main()
