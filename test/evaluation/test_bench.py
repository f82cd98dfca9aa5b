"""The benchmarks measure what they say, on the memories they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.bench import run as bench_run
from vinn.bench.arithmetic import network_gflop
from vinn.bench.memories import BenchMemory, asked_about, extended, hold_out
from vinn.bench.plot import cost_plot, query_costs
from vinn.bench.run import Bench, BenchSettings
from vinn.bench.search import SearchCost, growth
from vinn.bench.timing import in_turns, in_turns_per_query
from vinn.cli.main import run
from vinn.encoders.openvino_runtime import import_openvino
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
    ).only(("encode", "retrieve", "approximate", "load", "embed"))
    results = Results("performance", "test")
    stages: list[str] = []
    Bench(dataset, tmp_path / "encoder", settings, results, stages.append).run()
    figures = {row.name: row.value for row in results.rows}
    for kind in ("40 augmented", "800 augmented"):
        assert figures[f"retrieve {kind} frames: queries with identical neighbours"] == 100
        assert figures[f"retrieve {kind} frames: ours, exact"] > 0
    assert figures["retrieve 900 augmented frames approximately: recall at 10"] > 0.9
    assert figures["load a policy of 60 frames: resident memory"] > 10
    assert figures["embed: dataset, JPEG in"] > 0
    costs = query_costs(results.rows)
    assert [count for count, _ in costs["ours, exact"]] == [40, 800, 900]
    assert [count for count, _ in costs["ours, approximate"]] == [900]
    assert "ours, approximate" in cost_plot(results.rows)
    exact = [stage for stage in stages if stage.startswith("retrieve")]
    assert exact == ["retrieve: exact among 40", "retrieve: exact among 800"]


def test_arithmetic_counts_what_convolutions_and_products_do(tmp_path: Path) -> None:
    openvino = import_openvino()
    operators = openvino.opset13
    image = operators.parameter([1, 3, 10, 10], np.float32)
    kernels = operators.constant(np.ones((8, 3, 3, 3), np.float32))
    inside = operators.convolution(image, kernels, [1, 1], [0, 0], [0, 0], [1, 1])
    depthwise = operators.constant(np.ones((8, 1, 1, 8, 8), np.float32))
    row = operators.group_convolution(inside, depthwise, [1, 1], [0, 0], [0, 0], [1, 1])
    flat = operators.reshape(row, np.array([1, 8]), special_zero=False)
    weights = operators.constant(np.ones((5, 8), np.float32))
    model = openvino.Model([operators.matmul(flat, weights, False, True)], [image])
    openvino.save_model(model, tmp_path / "model.xml")
    convolution, grouped, product = 8 * 8 * 8 * 27, 8 * 64, 5 * 8
    assert network_gflop(tmp_path) == pytest.approx(2e-9 * (convolution + grouped + product))


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(tmp_path), "--encoder", str(tmp_path), "--part", "everything"]) == 2
    assert "everything" in capsys.readouterr().err


def test_growth_is_the_exponent_of_the_cost() -> None:
    def cost(count: int, milliseconds: float) -> SearchCost:
        return SearchCost(count, milliseconds, 1.0, 1.0, 1.0, 1.0)

    assert growth([cost(10_000, 1.0), cost(40_000, 2.0), cost(160_000, 4.0)]) == pytest.approx(0.5)


def test_one_part_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    dataset = write_square_demos(tmp_path / "demos", 6)
    write_tiny_encoder(tmp_path / "encoder")
    before = Results("performance", "vinn bench other --encoder encoder")
    before.add("kept", 7)
    before.add("in words", "this and that")
    before.write(tmp_path / "results")
    arguments = ["bench", str(tmp_path / "demos"), "--encoder", str(tmp_path / "encoder")]
    options = ["--repeats", "1", "--part", "embed", "--results", str(tmp_path / "results")]
    assert run([*arguments, *options]) == 0
    found = Results.read(tmp_path / "results" / "performance.json")
    names = {row.name for row in found.rows}
    assert {"kept", "in words", "embed: dataset, JPEG in"} <= names
    assert found.command == (
        "vinn bench other --encoder encoder && vinn bench demos --encoder encoder"
    )
    assert len(dataset) == 6
