from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from square_demonstrations import write_square_demonstrations
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_encoder
from vinn.errors import ConfigError
from vinn.learning.backbones import PerImageNorm, build_backbone
from vinn.learning.config import BackboneConfig, SelfSupervisionConfig, self_supervision_config
from vinn.learning.encoder_training import CollapseError, train_encoder
from vinn.learning.processor import chosen_precision
from vinn.learning.run import lengthen_run
from vinn.learning.self_supervision import METHODS, Byol, build_optimizer

TINY = [
    "backbone.name=resnet18",
    "backbone.weights=random",
    "backbone.image_px=32",
    "projector_hidden=16",
    "projector_out=8",
    "run.batch_size=8",
    "run.max_steps=2",
    "run.accelerator=cpu",
    "optimizer.learning_rate=0.0001",
    "collapse_limit=0",
]


def tiny(method: str = "byol", *more: str) -> SelfSupervisionConfig:
    return self_supervision_config(method, overrides=[*TINY, *more])


def frames_of(dataset: Dataset, count: int = 3) -> list[np.ndarray]:
    return [read_frame(path) for path in dataset.demonstrations[0].frame_paths[:count]]


@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
def test_each_method_trains_and_exports(method: str, squares: Dataset, tmp_path: Path) -> None:
    steps: list[int] = []
    encoder_dir = train_encoder(
        [squares], tiny(method), tmp_path / "run", lambda done, total, loss: steps.append(done)
    )
    assert steps == [1, 2]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 2
    assert np.isfinite(result["loss"])
    assert result["frames"] == squares.frame_count
    assert result["precision"] == chosen_precision("auto", "cpu")
    assert result["threads"] == torch.get_num_threads()
    encoder = load_encoder(encoder_dir)
    embeddings = encoder.embed(frames_of(squares))
    assert embeddings.shape == (3, 512)
    assert np.isfinite(embeddings).all()
    assert list((tmp_path / "run" / "logs").glob("events.out.tfevents*"))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_seed_repeats_a_training(precision: str, squares: Dataset, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        config = tiny("byol", f"run.precision={precision}", f"run.seed={seed}", "run.max_steps=6")
        train_encoder([squares], config, tmp_path / name)
        result = json.loads((tmp_path / name / "result.json").read_text())
        assert result["precision"] == precision
        return torch.load(tmp_path / name / "backbone.pt")

    first, again, other = weights("first", 5), weights("again", 5), weights("other", 6)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
def test_what_is_normalised_and_the_loss_stay_in_single_precision(method: str) -> None:
    views = torch.randn(8, 3, 32, 32), torch.randn(8, 3, 32, 32)
    statistics, losses = [], []
    for mixed in (False, True):
        torch.manual_seed(0)
        backbone = build_backbone(BackboneConfig(name="resnet18", weights="random", image_px=32))
        module = METHODS[method](backbone, tiny(method))
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            embeddings = module.features(views[0]), module.features(views[1])
            assert embeddings[0].dtype == (torch.bfloat16 if mixed else torch.float32)
            loss = module.loss(views, embeddings)
        loss.backward()
        assert loss.dtype == torch.float32
        assert all(v.dtype in (torch.float32, torch.int64) for v in module.state_dict().values())
        norm = backbone.network.get_submodule("layer1.0.bn1")
        # Each view has statistics of its own: two batches were seen, not one of both.
        assert int(norm.num_batches_tracked) == 2
        statistics.append(norm.running_var.clone())
        losses.append(loss.item())
    torch.testing.assert_close(statistics[1], statistics[0], rtol=0.02, atol=1e-4)
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=0.02)


def test_a_loss_of_rounded_vectors_is_computed_exactly() -> None:
    """Sums over thousands of components would lose all but two digits in bfloat16."""
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name="resnet18", weights="random", image_px=32))
    module = METHODS["vicreg"](backbone, tiny("vicreg"))
    vectors = [torch.randn(64, 128).bfloat16() for _ in range(2)]
    exact = module._criterion(*(vector.float() for vector in vectors))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module.compared(module._criterion, *vectors), exact)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_fused_steps_are_those_of_the_formula(name: str) -> None:
    config = tiny("byol", f"optimizer.name={name}", "optimizer.weight_decay=0.01").optimizer
    plain = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[name]
    more = {"momentum": config.momentum} if name == "sgd" else {}
    torch.manual_seed(0)
    start, gradients = torch.randn(40, 7), torch.randn(5, 40, 7)
    found, expected = (torch.nn.Parameter(start.clone()) for _ in range(2))
    fused = build_optimizer([found], config)
    reference = plain(
        [expected], lr=config.learning_rate, weight_decay=0.01, foreach=False, fused=False, **more
    )
    for gradient in gradients:
        found.grad, expected.grad = gradient.clone(), gradient.clone()
        fused.step()
        reference.step()
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, start)


def test_frames_without_actions_and_several_datasets_are_learned_from(
    squares: Dataset, tmp_path: Path
) -> None:
    frames_only = write_square_demonstrations(tmp_path / "frames", 2, seed=9, has_actions=False)
    train_encoder([squares, frames_only], tiny(), tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["frames"] == squares.frame_count + frames_only.frame_count


def test_training_continues_from_an_earlier_encoder(squares: Dataset, tmp_path: Path) -> None:
    train_encoder([squares], tiny(), tmp_path / "first")
    weights = tmp_path / "first" / "backbone.pt"
    again = build_backbone(BackboneConfig(name="resnet18", weights=str(weights), image_px=32))
    frame = frames_of(squares, 1)[0]
    before = load_encoder(tmp_path / "first" / "encoder").embed([frame])[0]
    image = again.preprocessing.normalise(again.preprocessing.resize(frame))
    again.features.eval()
    with torch.no_grad():
        same = again.features(torch.from_numpy(image)).numpy()[0]
    np.testing.assert_allclose(same, before, atol=1e-3 * float(np.abs(before).max()))


def test_a_killed_run_goes_on_from_its_checkpoint(squares: Dataset, tmp_path: Path) -> None:
    config = tiny("byol", "run.max_steps=4", "run.checkpoint_every_steps=1")

    class Killed(Exception):
        pass

    def kill_at_three(done: int, total: int, loss: float) -> None:
        if done == 3:
            raise Killed

    with pytest.raises(Killed):
        train_encoder([squares], config, tmp_path / "run", kill_at_three)
    assert not (tmp_path / "run" / "encoder").exists()
    with pytest.raises(ConfigError, match=r"run\.batch_size"):
        train_encoder(
            [squares],
            tiny("byol", "run.max_steps=4", "run.checkpoint_every_steps=1", "run.batch_size=4"),
            tmp_path / "run",
        )
    steps: list[int] = []
    train_encoder([squares], config, tmp_path / "run", lambda done, *_: steps.append(done))
    assert steps[0] in (3, 4)  # the third step's checkpoint may or may not have been written
    assert steps[-1] == 4
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 4
    with pytest.raises(ConfigError, match="complete"):
        train_encoder([squares], config, tmp_path / "run")


@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg"])
def test_a_run_taken_up_between_passes_draws_what_follows(
    method: str, squares: Dataset, tmp_path: Path
) -> None:
    short, longer = (
        tiny(method, f"run.epochs={passes}", "run.max_steps=null", "run.batch_size=8")
        for passes in (1, 2)
    )
    train_encoder([squares], longer, tmp_path / "at once")
    train_encoder([squares], short, tmp_path / "run")
    lengthen_run(tmp_path / "run", longer)
    train_encoder([squares], longer, tmp_path / "run")
    found, expected = (torch.load(tmp_path / n / "backbone.pt") for n in ("run", "at once"))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-7)


def test_a_second_process_does_not_train_in_the_same_folder(
    squares: Dataset, tmp_path: Path
) -> None:
    refused = []

    def meanwhile(done: int, total: int, loss: float) -> None:
        if done == 1:
            with pytest.raises(ConfigError, match=r"run: another process trains here") as caught:
                train_encoder([squares], tiny(), tmp_path / "run")
            refused.append(caught)

    train_encoder([squares], tiny(), tmp_path / "run", meanwhile)
    assert len(refused) == 1
    load_encoder(tmp_path / "run" / "encoder")


def test_collapse_is_refused_and_nothing_is_exported(squares: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CollapseError, match="relative spread"):
        train_encoder([squares], tiny("byol", "collapse_limit=1"), tmp_path / "run")
    assert not (tmp_path / "run" / "encoder").exists()
    assert not (tmp_path / "run" / "result.json").exists()


def test_byols_target_follows_slowly_and_learns_nothing_by_gradient() -> None:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name="resnet18", weights="random", image_px=32))
    module = Byol(backbone, tiny("byol", "moving_average=0.9"))
    views = (torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32))
    embeddings = module.features(views[0]), module.features(views[1])
    module.loss(views, embeddings).backward()
    assert all(p.grad is None for p in module.target_features.parameters())
    weight = next(module.features.parameters())
    target = next(module.target_features.parameters())
    assert weight.grad is not None
    with torch.no_grad():
        weight += 1.0
    before = target.clone()
    module.on_train_batch_end(None, None, 0)
    torch.testing.assert_close(target, before + 0.1)


def test_statistics_of_one_image_are_batchnorms_on_a_batch_of_one() -> None:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(5)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    image = torch.randn(1, 5, 7, 6)
    torch.testing.assert_close(PerImageNorm(norm)(image), norm.train()(image))


def test_batch_statistics_change_the_exported_encoder(squares: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name="resnet18", weights="random", image_px=32))
    plain = load_encoder(backbone.export(tmp_path / "plain", {}))
    quirky = load_encoder(backbone.export(tmp_path / "quirky", {}, batch_statistics_at_test=True))
    frames = frames_of(squares, 1)
    assert np.abs(plain.embed(frames) - quirky.embed(frames)).max() > 1e-3


@pytest.mark.slow
def test_two_processes_train_together(squares: Dataset, tmp_path: Path) -> None:
    overrides = [word for setting in (*TINY, "run.devices=2") for word in ("--set", setting)]
    # A script and not -c: Lightning starts the second process by the same command line.
    script = tmp_path / "vinn_main.py"
    script.write_text("from vinn.cli.main import main\n\nif __name__ == '__main__':\n    main()\n")
    command = [sys.executable, str(script), "train", "byol", str(squares.root)]
    run = subprocess.run(
        [*command, "--out", str(tmp_path / "run"), *overrides],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 2
    assert load_encoder(tmp_path / "run" / "encoder").dimension == 512
