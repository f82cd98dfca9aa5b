"""Variants of a training are measured on demonstrations that none of them sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from vinn.cli.main import run as vinn
from vinn.demos.store import Dataset
from vinn.errors import ConfigError
from vinn.evaluation.results import Results
from vinn.learning import encoder_training
from vinn.learning.backbones import build_backbone
from vinn.learning.config import BackboneConfig, self_supervision_config
from vinn.learning.self_supervision import METHODS
from vinn.paper.learning_curve import (
    CurveConfig,
    learning_curves,
    left_out_error,
    load_curve_config,
)
from vinn.policies.memory import ActionMemory

TRAIN = {
    "backbone": {"name": "resnet18", "weights": "random", "image_px": 32},
    "projector_hidden": 32,
    "projector_out": 16,
    "run": {"batch_size": 8, "accelerator": "cpu", "checkpoint_every_steps": 1000},
}
SETTINGS = {
    "passes": [0, 1, 2],
    "left_out": 0.34,
    "train": TRAIN,
    "variants": {
        "slow": {"train": {"optimizer": {"learning_rate": 1e-6}}},
        "other": {"method": "vicreg", "train": {"optimizer": {"learning_rate": 1e-3}}},
    },
}


def written(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}))
    return path


def test_curves_are_measured_kept_and_drawn(
    squares: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[set[str]] = []
    train = encoder_training.train_encoder

    def watched(datasets: list[Dataset], *arguments: object) -> Path:
        trained.append({d.meta.name for part in datasets for d in part.demonstrations})
        return train(datasets, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder_training, "train_encoder", watched)
    out = tmp_path / "out"
    command = ["eval", "learning-curve", str(squares.root), "--out", str(out)]
    command += ["--settings", str(written(tmp_path / "s.yaml"))]
    assert vinn(command) == 0
    points = {name: json.loads((out / f"{name}.json").read_text()) for name in ("slow", "other")}
    for rows in points.values():
        assert [row["passes"] for row in rows] == [0, 1, 2]
        assert all(row["left_out_mse"] > 0 and 0 < row["relative_spread"] <= 1 for row in rows)
    # Both start with the same weights, of which a tiny rate leaves most.
    assert points["slow"][0] == points["other"][0]
    moved = [abs(p[2]["left_out_mse"] - p[0]["left_out_mse"]) for p in points.values()]
    assert moved[1] > 0
    assert "<svg" in (out / "left_out_error.svg").read_text()
    assert len(trained) == 2
    assert trained[0] == trained[1]
    assert len(trained[0]) == len(squares) - 2
    results = tmp_path / "results"
    assert vinn([*command, "--variants", "other", "--results", str(results)]) == 0
    rows = Results.read(results / "self_supervision.json").rows
    assert [row.value for row in rows[:3]] == pytest.approx(
        [row["left_out_mse"] for row in points["other"]], rel=1e-3
    )
    assert all("other" in row.name for row in rows)
    assert "<svg" in (results / "left_out_error.svg").read_text()
    assert vinn([*command, "--variants", "slow,none"]) == 2
    before = (out / "slow.json").read_bytes()
    assert vinn(command) == 0
    assert len(trained) == 2
    assert (out / "slow.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"variants": {"b": {}}}, "a is"),
        ({"variants": {"a": {"train": {"moving_average": 0.5}}, "b": {}}}, "a is"),
        ({"passes": [0, 1, 10]}, "passes"),
        ({"left_out": 0.3}, "left_out"),
        ({"train": {"moving_average": 0.5}}, "train"),
    ],
)
def test_a_folder_of_other_settings_is_refused(
    changes: dict[str, object], named: str, squares: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    first = CurveConfig(variants={"a": {}})
    (out / "settings.yaml").write_text(yaml.safe_dump(first.model_dump(mode="json")))
    before = (out / "settings.yaml").read_bytes()
    other = CurveConfig(**{"variants": {"a": {}}, **changes})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=named):
        learning_curves(squares, other, out)
    assert sorted(path.name for path in out.iterdir()) == ["settings.yaml"]
    assert (out / "settings.yaml").read_bytes() == before


def test_more_passes_and_further_variants_are_taken_up(squares: Dataset, tmp_path: Path) -> None:
    every = {**TRAIN, "run": {**TRAIN["run"], "checkpoint_every_steps": 1}}  # type: ignore[dict-item]
    short = CurveConfig(**{**SETTINGS, "train": every, "variants": {"a": {}}})  # type: ignore[arg-type]
    longer = CurveConfig(
        **{**SETTINGS, "train": every, "passes": [0, 1, 2, 4], "variants": {"a": {}, "b": {}}}  # type: ignore[arg-type]
    )
    out = tmp_path / "out"
    first = learning_curves(squares, short, out)["a"]
    seen: list[tuple[str, int]] = []
    curves = learning_curves(
        squares, longer, out, lambda name, done, total, loss: seen.append((name, done))
    )
    assert [p.passes for p in curves["a"]] == [p.passes for p in curves["b"]] == [0, 1, 2, 4]
    assert curves["a"][:3] == first
    steps = [done for name, done in seen if name == "a"]
    # What was trained is not trained again.
    assert steps[0] > steps[-1] // 2
    at_once = learning_curves(squares, longer, tmp_path / "at once")["a"]
    for field in ("left_out_mse", "relative_spread"):
        np.testing.assert_allclose(
            [getattr(p, field) for p in curves["a"]],
            [getattr(p, field) for p in at_once],
            rtol=1e-5,
        )
    expected = torch.load(tmp_path / "at once" / "a" / "backbone.pt")
    for key, value in torch.load(out / "a" / "backbone.pt").items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-6)
    before = torch.load(out / "a" / "backbone.pt")
    assert learning_curves(squares, longer, out) == curves
    assert all(
        torch.equal(value, before[key])
        for key, value in torch.load(out / "a" / "backbone.pt").items()
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"passes": [2, 1]}, "passes"),
        ({"passes": [0]}, "passes"),
        ({"left_out": 1.0}, "left_out"),
        ({"variants": {}}, "variants"),
        ({"variants": {"../a": {}}}, "variants"),
        ({"variants": {"a": {"method": "moco"}}}, "method"),
        ({"variants": {"a": {"train": {"optimiser": {}}}}}, "optimiser"),
        ({"variants": {"a": {"train": {"optimizer": {"warmup_steps": -1}}}}}, "warmup_steps"),
    ],
)
def test_bad_settings_are_named_before_anything_is_trained(
    changes: dict[str, object], named: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=named):
        load_curve_config(written(tmp_path / "s.yaml", **changes))


def test_too_few_demonstrations_are_refused(squares: Dataset, tmp_path: Path) -> None:
    few = squares.only(*(d.meta.name for d in squares.demonstrations[:3]))
    with pytest.raises(ConfigError, match="left_out"):
        learning_curves(few, CurveConfig(**SETTINGS), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_settings_of_the_repository_are_read() -> None:
    config = load_curve_config(Path(__file__).parents[2] / "config/learning_curves/lite0.yaml")
    assert len(config.variants) >= 8
    assert config.training("rate-3e-4").optimizer.learning_rate == 3e-4
    assert config.training("rate-3e-5").run.epochs == 10


def test_an_error_is_small_where_what_looks_alike_acts_alike(squares: Dataset) -> None:
    known, asked = squares.split({"known": 0.5, "asked": 0.5}, seed=1).values()
    memory, truth = ActionMemory.of(known), ActionMemory.of(asked)
    rng = np.random.default_rng(0)
    exact = left_out_error(memory.camera_delta, memory, truth.camera_delta, truth)
    noise = [rng.normal(size=(len(m), 3)).astype(np.float32) for m in (memory, truth)]
    assert exact < 0.5 * left_out_error(noise[0], memory, noise[1], truth)


def test_being_measured_changes_no_training(squares: Dataset, tmp_path: Path) -> None:
    config = CurveConfig(**SETTINGS).training("slow")
    seen = []
    encoder_training.train_encoder([squares], config, tmp_path / "plain")
    encoder_training.train_encoder(
        [squares],
        config,
        tmp_path / "measured",
        on_pass=lambda passes, backbone: seen.append((passes, backbone.features.training)),
    )
    plain, measured = (torch.load(tmp_path / n / "backbone.pt") for n in ("plain", "measured"))
    assert all(torch.equal(plain[key], measured[key]) for key in plain)
    assert seen == [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_statistics_stay_and_those_of_heads_do_not(method: str, frozen: bool) -> None:
    torch.manual_seed(0)
    config = self_supervision_config(method, changes={**TRAIN, "frozen_statistics": frozen})
    backbone = build_backbone(BackboneConfig(**TRAIN["backbone"]))  # type: ignore[arg-type]
    module = METHODS[method](backbone, config).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    views = torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32)
    module.loss(views, (module.features(views[0]), module.features(views[1]))).backward()
    for key, value in module.state_dict().items():
        if key.endswith("running_mean"):
            stays = frozen and "features." in key
            assert torch.equal(value, before[key]) is stays, key
    assert all(p.grad is not None for p in module.features.parameters() if p.requires_grad)


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_a_warm_up_grows_evenly_to_the_rate(steps: int) -> None:
    changes = {**TRAIN, "optimizer": {"learning_rate": 0.01, "warmup_steps": steps}}
    config = self_supervision_config("byol", changes=changes)
    backbone = build_backbone(BackboneConfig(**TRAIN["backbone"]))  # type: ignore[arg-type]
    found = METHODS["byol"](backbone, config).configure_optimizers()
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    assert found["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(steps + 3):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [0.01 * min(1.0, (i + 1) / (steps + 1)) for i in range(steps + 3)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
