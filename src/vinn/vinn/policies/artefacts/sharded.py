"""Embedding a dataset in shards, by this process or by many workers; goes on where it stopped.

A shard is a run of consecutive frames. Whoever computes it, its embeddings are those of
`build.embed_dataset`. Finished shards lie beside the result until it is complete, in
a folder named after dataset and encoder, so that those of another run are never taken for one's
own. Workers are actors of Ray, which is imported only for them; they read frames and encoder by
the same paths as this process does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file, atomic_path
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.artefact import EncoderManifest, read_manifest
from vinn.encoders.encoder import Encoder, load_encoder, load_for_datasets
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefacts.ray_session import ray_session
from vinn.reading.arrays import read_npy

FRAMES_PER_SHARD = 256

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""


def embed_in_shards(
    dataset: Dataset,
    encoder_dir: Path,
    out: Path,
    workers: int = 1,
    ray_address: str | None = None,
    on_progress: Progress | None = None,
    frames_per_shard: int = FRAMES_PER_SHARD,
) -> Path:
    """Write the embeddings (N, D) float32 of a dataset's frames to `out`, and OUT.json beside it.

    Args:
        dataset: its frames in order are the rows.
        encoder_dir: an encoder artefact.
        out: a .npy file that does not exist.
        workers: 1 without an address: this process, on all processors; else actors of Ray.
        ray_address: of a running cluster, e.g. "auto"; None: workers on this machine.
        on_progress: called with (frames done, frames in all), those found done included.
        frames_per_shard: what a worker does at a time, and what an interruption costs at most.

    Raises:
        ConfigError: bad `workers`, or `out` is no .npy file.
        ArtefactError: bad encoder, or `out` exists.
        DatasetError: a truncated frame.
        ModuleNotFoundError: Ray is needed and not installed.
    """
    if workers < 1:
        raise ConfigError(f"workers: {workers}; allowed: 1 or more")
    out, encoder_dir = Path(out), Path(encoder_dir).resolve()
    if out.suffix != ".npy":
        raise ConfigError(f"{out}: must end in .npy")
    if out.exists():
        raise ArtefactError(f"{out}: exists already; choose another name or remove it first")
    encoder = read_manifest(encoder_dir)
    paths = [path.resolve() for d in dataset.demonstrations for path in d.frame_paths]
    shards = [
        paths[start : start + frames_per_shard] for start in range(0, len(paths), frames_per_shard)
    ]
    name = f".{out.name}.{dataset.hash[:12]}-{encoder.hash[:12]}-{frames_per_shard}"
    folder = out.parent / name
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:06d}.npy" for number in range(len(shards))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    done = len(paths) - sum(len(shards[number]) for number in missing)
    tasks = [(number, shards[number]) for number in missing]
    if on_progress is not None:
        on_progress(done, len(paths))
    results: Iterator[tuple[int, NDArray[np.float32]]] = iter(())
    if tasks:
        local = workers == 1 and ray_address is None
        results = (
            _here(encoder_dir, tasks)
            if local
            else _by_ray(encoder_dir, tasks, workers, ray_address)
        )
    for number, embeddings in results:
        _save(files[number], embeddings)
        done += len(embeddings)
        if on_progress is not None:
            on_progress(done, len(paths))
    _join(files, len(paths), encoder, dataset, out)
    shutil.rmtree(folder)
    return out


def _join(
    files: list[Path], count: int, encoder: EncoderManifest, dataset: Dataset, out: Path
) -> None:
    """Put the shards together without holding all of them in memory."""
    about = {
        "dataset_hash": dataset.hash,
        "encoder": encoder.name,
        "encoder_hash": encoder.hash,
        "frames": count,
        "demonstrations": {d.meta.name: len(d) for d in dataset.demonstrations},
    }
    with atomic_path(out, ArtefactError) as partial:
        joined = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.float32, shape=(count, encoder.dimension)
        )
        start = 0
        for file in files:
            shard = read_npy(file, ArtefactError)
            joined[start : start + len(shard)] = shard
            start += len(shard)
        joined.flush()
        with atomic_file(out.with_suffix(".json"), ArtefactError) as stream:
            stream.write((json.dumps(about, indent=2) + "\n").encode())


def _save(file: Path, embeddings: NDArray[np.float32]) -> None:
    with atomic_file(file, ArtefactError) as stream:
        np.save(stream, embeddings)


def _embed(encoder: Encoder, paths: list[Path]) -> NDArray[np.float32]:
    resized = (encoder.preprocessing.resize(read_frame(path)) for path in paths)
    return np.stack(list(encoder.encode_each(resized)))


def _here(
    encoder_dir: Path, tasks: list[tuple[int, list[Path]]]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    encoder = load_for_datasets(encoder_dir)
    for number, paths in tasks:
        yield number, _embed(encoder, paths)


class _Worker:
    """One processor with an encoder of its own."""

    def __init__(self, encoder_dir: Path) -> None:
        self._encoder = load_encoder(encoder_dir)

    def embed(self, task: tuple[int, list[Path]]) -> tuple[int, NDArray[np.float32]]:
        number, paths = task
        return number, _embed(self._encoder, paths)


def _by_ray(
    encoder_dir: Path, tasks: list[tuple[int, list[Path]]], workers: int, address: str | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    with ray_session(workers, address) as ray:
        from ray.util import ActorPool

        worker = ray.remote(num_cpus=1)(_Worker)
        pool = ActorPool([worker.remote(encoder_dir) for _ in range(min(workers, len(tasks)))])
        yield from pool.map_unordered(lambda actor, task: actor.embed.remote(task), tasks)
