from __future__ import annotations

from pathlib import Path

import pytest
from vinn.errors import ConfigError
from vinn.learning.config import cloning_config, self_supervision_config, write_config

CONFIG_DIR = Path(__file__).parents[2] / "config" / "train"


def test_defaults_are_the_papers() -> None:
    byol = self_supervision_config("byol")
    assert (byol.backbone.name, byol.backbone.weights, byol.backbone.image_px) == (
        "resnet50",
        "imagenet",
        224,
    )
    assert (byol.run.epochs, byol.run.batch_size, byol.moving_average) == (100, 168, 0.99)
    assert byol.optimizer.learning_rate == 3e-4
    simclr = self_supervision_config("simclr")
    assert (simclr.optimizer.name, simclr.temperature, simclr.projector_out) == ("sgd", 0.5, 128)
    vicreg = self_supervision_config("vicreg")
    weights = (vicreg.invariance_weight, vicreg.variance_weight, vicreg.covariance_weight)
    assert weights == (25, 25, 1)
    assert cloning_config("bc").hidden == (2048, 1024)
    assert cloning_config("bc-rep", overrides=["encoder=e"]).run.epochs == 8000


def test_quirks_are_off_by_default_and_on_in_their_preset() -> None:
    assert not any(self_supervision_config("byol").quirks.model_dump().values())
    preset = self_supervision_config("byol", CONFIG_DIR / "original-quirks.yaml")
    assert all(preset.quirks.model_dump().values())


@pytest.mark.parametrize("file", sorted(CONFIG_DIR.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_committed_file_is_valid(file: Path) -> None:
    self_supervision_config("byol", file)


def test_overrides_win_over_the_file_and_the_result_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("run: {epochs: 3, batch_size: 8}\n")
    config = self_supervision_config("simclr", file, ["run.epochs=5", "backbone.name=resnet18"])
    assert (config.run.epochs, config.run.batch_size) == (5, 8)
    assert config.optimizer.name == "sgd"  # the method's own default survives
    write_config(config, tmp_path / "b.yaml")
    assert self_supervision_config("simclr", tmp_path / "b.yaml") == config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("run.epoch=3", ["run.epoch", "epochs"]),
        ("run.epochs=-1", ["run.epochs", "-1"]),
        ("run.epochs", ["run.epochs", "KEY=VALUE"]),
        ("nothing=1", ["nothing", "backbone"]),
        ("run.epochs=many", ["run.epochs", "many"]),
    ],
)
def test_bad_overrides_are_named(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        self_supervision_config("byol", overrides=[override])
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_method_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("method: simclr\n")
    with pytest.raises(ConfigError, match=r"simclr.*byol"):
        self_supervision_config("byol", file)


def test_encoder_must_fit_the_cloning_method() -> None:
    with pytest.raises(ConfigError, match="encoder"):
        cloning_config("bc-rep")
    with pytest.raises(ConfigError, match="encoder"):
        cloning_config("bc", overrides=["encoder=somewhere"])
