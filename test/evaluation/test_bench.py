"""The benchmarks measure what they say, on the memories they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.evaluation.bench import run as bench_run
from vinn.evaluation.bench.memories import BenchMemory, asked_about, extended, hold_out
from vinn.evaluation.bench.run import Bench, BenchSettings
from vinn.evaluation.bench.timing import in_turns, in_turns_per_query
from vinn.evaluation.results import Results


def test_functions_take_turns() -> None:
    calls: list[str] = []
    timings = in_turns(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warm_up=1
    )
    assert calls == ["a", "b"] * 4
    assert all(len(timing.seconds) == 3 for timing in timings.values())


def test_a_repeat_asks_every_query() -> None:
    asked: list[int] = []
    in_turns_per_query({"search": asked.append}, queries=4, repeats=2)
    assert asked == [0, 1, 2, 3] * 3


def memory() -> BenchMemory:
    rng = np.random.default_rng(0)
    embeddings = np.cumsum(rng.normal(size=(10, 12, 8)), axis=1).reshape(-1, 8).astype(np.float32)
    return hold_out(embeddings, np.repeat(np.arange(10), 12), queries=5)


def test_held_out_frames_are_of_other_demonstrations() -> None:
    found = memory()
    assert not asked_about(found.demonstration_ids).any()
    assert len(found.embeddings) == 96 and len(found.queries) == 5
    for query in found.queries:
        assert (np.abs(found.embeddings - query).max(axis=1) > 0).all()


def test_an_extended_memory_keeps_the_real_ones_and_looks_like_them(tmp_path: Path) -> None:
    found = memory()
    more = extended(found, 5000)
    np.testing.assert_array_equal(more[:96], found.embeddings)
    np.testing.assert_array_equal(more, extended(found, 5000, path=tmp_path / "more.npy"))
    assert len(np.unique(more, axis=0)) == 5000
    real, new = found.embeddings.std(axis=0), more[96:].std(axis=0)
    assert (new < 2 * real).all() and (new > 0.5 * real).all()
    np.testing.assert_array_equal(extended(found, 50), found.embeddings[:50])


def test_a_small_run_finds_identical_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_run, "STEP_FRAMES", 60)
    dataset = write_square_demos(tmp_path / "demos", 6)
    write_tiny_encoder(tmp_path / "encoder")
    settings = BenchSettings(
        sizes=(40, 800), approximate=(900,), repeats=1, queries=3, images=2, threads=1
    ).only(("encode", "retrieve", "load", "embed"))
    results = Results("performance", "test")
    stages: list[str] = []
    bench = Bench(dataset, tmp_path / "encoder", settings, results, stages.append)
    bench.run()
    figures = {row.name: row.value for row in results.rows}
    for kind in ("40 augmented", "800 augmented"):
        assert figures[f"retrieve {kind} frames: queries with identical neighbours"] == 100
        assert figures[f"retrieve {kind} frames: ours, exact"] > 0
    assert figures["retrieve 900 augmented frames approximately: recall at 10"] > 0.9
    assert figures["load a policy of 60 frames: resident memory"] > 10
    assert figures["embed: dataset, JPEG in"] > 0
    assert [cost.count for cost in bench.exact] == [40, 800]
    assert stages


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(tmp_path), "--encoder", str(tmp_path), "--part", "everything"]) == 2
    assert "everything" in capsys.readouterr().err
