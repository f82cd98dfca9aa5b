"""Compare novelty measures on views with something covered; writes docs/results/novelty.json.

    python -m measure.novelty --encoder runs/demo/policy/encoder [--out DIR]

Records demonstrations of the three cabinets, lets the expert see held-out starts with the sign, the
handle, the bins or everything covered, and other cabinets. The area under the ROC curve says how
often a novel view scores above a held-out plain one (1: always, 0.5: chance).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from vinn.cli.console import progress_bar
from vinn.demos.frames import JPEG_QUALITY, decode_jpeg, encode_jpeg
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.encoders.local import LocalFeatures, localise_encoder
from vinn.evaluation.results import Results
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.memory import ActionMemory
from vinn.policies.novelty import NOVELTY_QUANTILE, cells_of, held_out_residuals
from vinn.sim.cabinets import CABINETS
from vinn.sim.recording import record_demonstrations

from measure.novelty.measures import Memory, Views, area_under_curve, measures
from measure.novelty.views import Cover, PairedViews, paired_views

OTHER_CABINETS = ("sampled-1", "sampled-2", "sampled-3", "sampled-4")
QUANTILE = NOVELTY_QUANTILE
POOR_QUALITY = 80
LOCAL = LocalFeatures(stride=16, grid=7, channels=16)


class Looker:
    """Embeds images by both encoders."""

    def __init__(self, pooled: Encoder, local: Encoder) -> None:
        self.pooled, self.local = pooled, local
        self.cells = cells_of(local.manifest)

    def views(self, images_rgb: Sequence[NDArray[np.uint8]], quality: int = JPEG_QUALITY) -> Views:
        """Of N images, compressed as demonstrations and camera frames are."""
        images_rgb = [decode_jpeg(encode_jpeg(image, quality), "view") for image in images_rgb]
        return Views(self.pooled.embed(images_rgb), self.local.embed(images_rgb), self.cells)


def remember(dataset: Dataset, look: Looker) -> Memory:
    """The demonstrations' frames."""
    actions = ActionMemory.of(dataset)
    pooled = embed_dataset(dataset, look.pooled).embeddings
    local = embed_dataset(dataset, look.local).embeddings
    return Memory(Views(pooled, local, look.cells), actions.demonstration_ids, actions.progress)


def measure(
    difficulty: str, encoder_dir: Path, folder: Path, options: argparse.Namespace, results: Results
) -> None:
    """All measures on one difficulty."""
    demos = folder / difficulty
    if not demos.is_dir():
        with progress_bar(f"{difficulty}: demonstrations") as progress:
            record_demonstrations(
                demos, count=options.demos, difficulty=difficulty, on_progress=progress
            )
    dataset = Dataset.open(demos)
    paths = [path for d in dataset.demonstrations for path in d.frame_paths]
    local_dir = folder / f"{difficulty}-local"
    if not local_dir.is_dir():
        localise_encoder(encoder_dir, paths, local_dir, LOCAL)
    look = Looker(load_encoder(encoder_dir), load_encoder(local_dir))
    memory = remember(dataset, look)
    seeds = range(1000, 1000 + options.episodes)
    with progress_bar(f"{difficulty}: held-out episodes") as progress:
        episodes = paired_views(tuple(CABINETS), seeds, difficulty, on_progress=progress)
    with progress_bar(f"{difficulty}: other cabinets") as progress:
        others = paired_views(OTHER_CABINETS, seeds[:2], difficulty, (Cover.NONE,), progress)
    conditions = embed(episodes, others, look)
    fitted = measures(memory)
    scores = {
        name: {condition: score(views) for condition, views in conditions.items()}
        for name, score in fitted.items()
    }
    results.add(f"{difficulty}: demonstrations remembered", len(dataset))
    results.add(f"{difficulty}: held-out plain frames", len(conditions["plain"]))
    for condition in [name for name in conditions if name != "plain"]:
        for name, by_condition in scores.items():
            must = name in SUBSPACES and condition in ("everything", "another cabinet")
            results.add(
                f"{difficulty}: {condition}: {name}",
                round(area_under_curve(by_condition["plain"], by_condition[condition]), 4),
                "AUC",
                ">= 0.9" if must else None,
            )
    alarms(difficulty, memory, scores, episodes, results)


SUBSPACES = {"subspace": "pooled", "local, subspace by cell": "local"}


def alarms(
    difficulty: str,
    memory: Memory,
    scores: dict[str, dict[str, NDArray[np.float64]]],
    episodes: Sequence[PairedViews],
    results: Results,
) -> None:
    """Calibrate the subspaces as a policy does; how often held-out plain views are above."""
    lengths = [len(episode.frames_rgb[Cover.NONE]) for episode in episodes]
    for name, which in SUBSPACES.items():
        embeddings = getattr(memory.views, which)
        cells = memory.views.cells if which == "local" else 1
        residuals = held_out_residuals(embeddings, memory.demonstration_ids, cells)
        limit = float(np.quantile(residuals, QUANTILE))
        above = scores[name]["plain"] > limit
        halted = [part.any() for part in np.split(above, np.cumsum(lengths)[:-1])]
        results.add(
            f"{difficulty}: {name}: held-out plain frames above the limit",
            round(100 * float(above.mean()), 2),
            "%",
            "<= 5",
        )
        results.add(
            f"{difficulty}: {name}: held-out episodes with such a frame",
            int(np.sum(halted)),
            f"of {len(halted)}",
        )
        for condition in [c for c in scores[name] if c != "plain"]:
            share = float((scores[name][condition] > limit).mean())
            results.add(
                f"{difficulty}: {name}: frames of '{condition}' above the limit",
                round(100 * share, 1),
                "%",
            )


def embed(
    episodes: Sequence[PairedViews], others: Sequence[PairedViews], look: Looker
) -> dict[str, Views]:
    """Views by condition; of a single cover the frames in which it shows."""
    plain = [i for e in episodes for i in e.frames_rgb[Cover.NONE]]
    conditions = {"plain": look.views(plain)}
    for cover in (Cover.SIGN, Cover.HANDLE, Cover.BINS, Cover.EVERYTHING):
        shown = [
            image
            for episode in episodes
            for image, shows in zip(episode.frames_rgb[cover], episode.shows(cover), strict=True)
            if shows
        ]
        conditions[cover.value] = look.views(shown)
    conditions[f"plain at JPEG quality {POOR_QUALITY}"] = look.views(plain, POOR_QUALITY)
    conditions["another cabinet"] = look.views(
        [i for e in others for i in e.frames_rgb[Cover.NONE]]
    )
    return conditions


def run_time(encoder_dir: Path, results: Results) -> None:
    """What the subspace costs per frame, of an embedding as long as this encoder's."""
    from vinn.policies.novelty import Subspace

    dimension = read_manifest(encoder_dir).dimension
    rng = np.random.default_rng(0)
    subspace = Subspace.fit(rng.normal(size=(400, dimension)).astype(np.float32))
    query = rng.normal(size=(1, dimension)).astype(np.float32)
    took = []
    for _ in range(200):
        began_s = time.perf_counter()
        subspace.residual(query)
        took.append(time.perf_counter() - began_s)
    results.add("subspace: one frame, median", round(1e3 * float(np.median(took)), 3), "ms", "<= 1")


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True, help="a pooled encoder artefact")
    parser.add_argument("--demos", type=int, default=10, help="demonstrations per cabinet")
    parser.add_argument("--episodes", type=int, default=4, help="held-out episodes per cabinet")
    parser.add_argument("--difficulty", nargs="+", default=["easy", "hard"])
    parser.add_argument("--work", type=Path, help="keep the demonstrations here, and take them")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    results = Results(
        "novelty",
        "python -m measure.novelty --encoder runs/demo/policy/encoder "
        f"--demos {options.demos} --episodes {options.episodes} "
        f"--difficulty {' '.join(options.difficulty)}",
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.work or Path(scratch)
        for difficulty in options.difficulty:
            measure(difficulty, options.encoder, folder, options, results)
            results.write(options.out)
    run_time(options.encoder, results)
    print(results.write(options.out))


if __name__ == "__main__":
    main()
