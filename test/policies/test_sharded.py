"""Embedding in shards: equal to one process, whoever computes and however often it stops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, ConfigError, DatasetError
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.artefacts.sharded import embed_in_shards


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """encoder/ and demos/ of 40 frames."""
    write_tiny_encoder(tmp_path / "encoder")
    write_square_demos(tmp_path / "demos", 5)
    return tmp_path


def expected(parts: Path) -> np.ndarray:
    dataset = Dataset.open(parts / "demos")
    return embed_dataset(dataset, load_encoder(parts / "encoder")).embeddings


def test_the_command_writes_what_one_process_computes(parts: Path) -> None:
    out = parts / "embeddings.npy"
    arguments = ["embed", str(parts / "demos"), "--encoder", str(parts / "encoder")]
    assert run([*arguments, "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), expected(parts))
    about = json.loads(out.with_suffix(".json").read_text())
    assert about["encoder_hash"] == load_encoder(parts / "encoder").hash
    assert about["frames"] == 40
    assert not [path for path in parts.iterdir() if path.name.startswith(".")]
    assert run([*arguments, "--out", str(out)]) == 2


def test_it_goes_on_where_it_stopped(parts: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 24:
            raise Stopped

    dataset, out = Dataset.open(parts / "demos"), parts / "embeddings.npy"
    with pytest.raises(Stopped):
        embed_in_shards(dataset, parts / "encoder", out, on_progress=stop, frames_per_shard=8)
    assert not out.exists()
    progress: list[tuple[int, int]] = []
    embed_in_shards(
        dataset,
        parts / "encoder",
        out,
        on_progress=lambda *done: progress.append(done),
        frames_per_shard=8,
    )
    assert progress == [(24, 40), (32, 40), (40, 40)]
    np.testing.assert_array_equal(np.load(out), expected(parts))


@pytest.mark.slow
def test_workers_compute_the_same_and_tell_what_is_wrong(parts: Path) -> None:
    pytest.importorskip("ray", reason="needs the 'ray' extra")
    dataset, out = Dataset.open(parts / "demos"), parts / "embeddings.npy"
    embed_in_shards(dataset, parts / "encoder", out, workers=2, frames_per_shard=7)
    np.testing.assert_array_equal(np.load(out), expected(parts))
    frame = dataset.demonstrations[1].frame_paths[2]
    frame.write_bytes(frame.read_bytes()[:100])
    with pytest.raises(DatasetError, match=frame.name):
        embed_in_shards(dataset, parts / "encoder", parts / "again.npy", 2, frames_per_shard=40)


def test_bad_arguments_are_refused(parts: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    with pytest.raises(ConfigError, match="workers: 0"):
        embed_in_shards(dataset, parts / "encoder", parts / "e.npy", 0)
    with pytest.raises(ConfigError, match=r"e\.bin"):
        embed_in_shards(dataset, parts / "encoder", parts / "e.bin")
    with pytest.raises(ArtefactError):
        embed_in_shards(dataset, parts / "nowhere", parts / "e.npy")
