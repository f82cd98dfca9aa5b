"""The head of the grasp detector in NumPy: its derivative, and the same numbers as elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vinn.encoders.openvino_runtime import import_openvino, openvino_core
from vinn.learning.grasp.head import DEPTH_WEIGHT, Batch, GraspHead
from vinn.learning.grasp.network import head_output
from vinn.learning.grasp.optimizer import OneCycleAdamW
from vinn.policies.grasp.detector import load_detector

CHANNELS, ROWS, COLUMNS = (6, 9), 8, 12


def some_head(phases: int, seed: int = 0) -> GraspHead:
    rng = np.random.default_rng(seed)
    head = GraspHead(CHANNELS, phases, 8, rng)
    head.depth_mean = rng.normal(size=phases).astype(np.float32)
    head.depth_scale = rng.uniform(0.3, 1.0, phases).astype(np.float32)
    return head


def some_batch(phases: int, views: int = 5, seed: int = 1) -> Batch:
    rng = np.random.default_rng(seed)
    shares = rng.random((2, views, ROWS * COLUMNS)) ** 8
    shares /= shares.sum(axis=2, keepdims=True)
    values = (
        rng.normal(size=(views, ROWS, COLUMNS, CHANNELS[0])),
        rng.normal(size=(views, ROWS // 2, COLUMNS // 2, CHANNELS[1])),
        *shares,
        rng.normal(size=views),
    )
    fine, coarse, target, hand, depth = (value.astype(np.float32) for value in values)
    return Batch(fine, coarse, target, hand, depth, rng.integers(0, phases, views))


def in_double(head: GraspHead, batch: Batch) -> Batch:
    """The same in float64, in which differences of the loss can be taken."""
    head.parameters = {k: v.astype(np.float64) for k, v in head.parameters.items()}  # type: ignore[misc]
    fields = {k: np.asarray(v, np.float64) for k, v in vars(batch).items() if k != "phases"}
    return Batch(**fields, phases=batch.phases)


@pytest.mark.parametrize("name", some_head(1).parameters)
def test_the_derivative_is_that_of_the_loss(name: str) -> None:
    head = some_head(2)
    batch = in_double(head, some_batch(2))
    kept = head.dropout(batch, np.random.default_rng(4))
    assert 0 < (kept == 0).mean() < 0.4
    assert kept.mean() == pytest.approx(1.0, abs=0.15)
    value = head.parameters[name]
    _, gradients = head.loss(batch, kept)

    # The shares at which the depth is read are not learned from: held, they count as targets do.
    held = _shares_held(head, batch)
    direction = np.random.default_rng(5).normal(size=value.shape)
    step, found = 1e-6, []
    for sign in (1, -1):
        head.parameters[name] = (value + sign * step * direction).astype(value.dtype)
        found.append(_loss_with_shares(head, batch, kept, held))
    slope = (found[0] - found[1]) / (2 * step)
    wanted = float((gradients[name] * direction).sum())
    assert slope == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def _shares_held(head: GraspHead, batch: Batch) -> np.ndarray:
    logits = head._forth(batch.fine, batch.coarse, None).logits
    own = np.exp(logits[np.arange(len(batch.phases)), :, batch.phases])
    return 0.5 * (own / own.sum(axis=1, keepdims=True) + batch.target)


def _loss_with_shares(head: GraspHead, batch: Batch, kept: Any, shares: np.ndarray) -> float:
    """The loss, written anew from its definition."""
    found = head._forth(batch.fine, batch.coarse, kept)
    total = 0.0
    for view, phase in enumerate(batch.phases):
        for row, target in ((phase, batch.target[view]), (-1, batch.hand[view])):
            logits = found.logits[view, :, row]
            total -= (target * (logits - np.log(np.exp(logits).sum()))).sum()
        depth, log_variance = shares[view] @ found.depth[view, :, phase]
        wanted = (batch.log_depth[view] - head.depth_mean[phase]) / head.depth_scale[phase]
        likelihood = (wanted - depth) ** 2 / np.exp(log_variance) + log_variance
        total += DEPTH_WEIGHT * 0.5 * likelihood
    return float(total) / len(batch.phases)


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_openvino_computes_the_same(phases: int) -> None:
    openvino = import_openvino()
    head, batch = some_head(phases), some_batch(phases)
    fine, coarse = (
        openvino.opset13.parameter([-1, channels, rows, columns], np.float32)
        for channels, rows, columns in (
            (CHANNELS[0], ROWS, COLUMNS),
            (CHANNELS[1], ROWS // 2, COLUMNS // 2),
        )
    )
    output = head_output(head, fine.output(0), coarse.output(0))
    compiled = openvino_core().compile_model(
        openvino.Model([output], [fine, coarse]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found = compiled([m.transpose(0, 3, 1, 2).copy() for m in (batch.fine, batch.coarse)])[0]
    wanted = head.output(batch.fine, batch.coarse)
    assert found.shape == (5, (phases + 1) * ROWS * COLUMNS + 2 * phases)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_torch_computes_the_same() -> None:
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    functional = torch.nn.functional
    head, batch = some_head(2), some_batch(2)

    def layer(name: str, maps: Any, kernel: int = 1, **rest: Any) -> Any:
        weight = head.parameters[f"{name}.weight"]
        shaped = weight.reshape(kernel, kernel, -1, weight.shape[1]).transpose(3, 2, 0, 1)
        bias = torch.from_numpy(head.parameters[f"{name}.bias"])
        return functional.conv2d(maps, torch.from_numpy(shaped.copy()), bias, **rest)

    def differences(maps: np.ndarray) -> Any:
        found = torch.from_numpy(maps.transpose(0, 3, 1, 2).copy())
        off = found - found.mean(dim=(2, 3), keepdim=True)
        return off / (off.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()

    def doubled(maps: Any) -> Any:
        return functional.interpolate(maps, scale_factor=2.0, mode="bilinear")

    fine, coarse = differences(batch.fine), differences(batch.coarse)
    near = torch.relu(layer("fine", fine) + doubled(layer("coarse", coarse)))
    mixed = torch.relu(layer("mix", near, 3, padding=1))
    sides = [layer("from_coarse", coarse), layer("from_mix", mixed, 2, stride=2)]
    first = torch.relu(layer("first", torch.relu(torch.cat(sides, dim=1)), 3, padding=1))
    depth = doubled(layer("depth", torch.relu(layer("second", first, 3, padding=1))))
    logits = layer("heat", mixed).flatten(2)
    shares = logits[:, :-1].softmax(dim=2).unsqueeze(2)
    value = (shares * depth.flatten(2).unflatten(1, (2, 2))).sum(dim=3).numpy()
    found = head.output(batch.fine, batch.coarse)
    np.testing.assert_allclose(found[:, : logits[0].numel()], logits.flatten(1), atol=1e-5)
    log_depth = value[:, :, 0] * head.depth_scale + head.depth_mean
    np.testing.assert_allclose(found[:, -4::2], log_depth, atol=1e-5)
    log_spread = 0.5 * value[:, :, 1] + np.log(head.depth_scale)
    np.testing.assert_allclose(found[:, -3::2], log_spread, atol=1e-5)


@pytest.mark.parametrize("steps", [2, 3, 40])
def test_steps_are_those_of_torchs_adamw_in_one_cycle(steps: int) -> None:
    torch = pytest.importorskip("torch", reason="needs the 'train' extra")
    rng = np.random.default_rng(3)
    mine = {"weight": rng.normal(size=(4, 3)).astype(np.float32)}
    theirs = torch.nn.Parameter(torch.from_numpy(mine["weight"].copy()))
    optimizer = OneCycleAdamW(mine, 2e-2, 1e-1, steps)
    reference = torch.optim.AdamW([theirs], 2e-2, weight_decay=1e-1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(reference, 2e-2, total_steps=steps)
    for _ in range(steps):
        gradient = rng.normal(size=(4, 3)).astype(np.float32)
        theirs.grad = torch.from_numpy(gradient.copy())
        reference.step()
        schedule.step()
        optimizer.step({"weight": gradient})
        np.testing.assert_allclose(mine["weight"], theirs.detach().numpy(), atol=1e-6)


def test_a_step_lowers_the_loss_and_equal_seeds_train_alike() -> None:
    batch = some_batch(2, views=12)
    losses = []
    for _ in range(2):
        head = some_head(2)
        optimizer = OneCycleAdamW(head.parameters, 5e-3, 1e-3, 60)
        seen = []
        for _ in range(60):
            loss, gradients = head.loss(batch)
            seen.append(loss)
            optimizer.step(gradients)
        losses.append(seen)
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0] - 1.0


def test_it_is_trained_where_there_is_no_torch(
    door_demonstrations: Path, lite0_encoder: Path, tmp_path: Path
) -> None:
    arguments = ["train", "grasp-point", str(door_demonstrations), "--out", str(tmp_path / "out")]
    arguments += ["--encoder", str(lite0_encoder)]
    for setting in ("copies=0", "passes=1", "least_steps=2"):
        arguments += ["--set", setting]
    script = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'lightning', 'lightly'):\n"
        "    sys.modules[name] = None\n"
        f"from vinn.cli.main import run\nsys.exit(run({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert load_detector(tmp_path / "out").manifest.encoder_name == "efficientnet-lite0"
