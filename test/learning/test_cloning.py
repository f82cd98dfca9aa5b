from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.errors import ArtefactError, ArtefactMismatchError, DatasetError
from vinn.learning.cloning import ImplicitCloning
from vinn.learning.config import cloning_config
from vinn.learning.policy_training import (
    action_length,
    left_out_rows,
    to_mlp,
    train_policy,
)
from vinn.learning.raw_pixels import export_raw_pixels
from vinn.policies.artefact import load_policy
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.mlp import Mlp, load_heads, save_heads

SMALL = ["hidden=[64]", "run.batch_size=36", "run.accelerator=cpu", "counter_examples=32"]


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_raw_pixels(tmp_path_factory.mktemp("encoder") / "raw")


@pytest.fixture(scope="module")
def cloned(squares: Dataset, pixels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = cloning_config(
        "bc-rep", overrides=[*SMALL, f"encoder={pixels}", "run.epochs=150", "run.seed=1"]
    )
    return train_policy(squares, config, tmp_path_factory.mktemp("bc") / "run")


def errors(policy_dir: Path, dataset: Dataset) -> tuple[float, float, float]:
    """Mean squared error, that of standing still, and the gripper's accuracy."""
    policy = load_policy(policy_dir)
    squared, still, right = [], [], []
    for demonstration in dataset.demonstrations:
        for path, delta, state in zip(
            demonstration.frame_paths,
            demonstration.camera_delta,
            demonstration.gripper,
            strict=True,
        ):
            prediction = policy.predict(read_frame(path))
            squared.append(((prediction.camera_delta - delta) ** 2).mean())
            still.append((delta**2).mean())
            right.append(prediction.gripper_probabilities.argmax() == state)
            assert abs(prediction.gripper_probabilities.sum() - 1) < 1e-9
    return float(np.mean(squared)), float(np.mean(still)), float(np.mean(right))


def test_cloning_on_representations_learns_its_demonstrations(
    cloned: Path, squares: Dataset
) -> None:
    mse, still, accuracy = errors(cloned, squares)
    assert mse < 0.3 * still
    assert accuracy > 0.6


def test_the_policy_runs_without_torch(cloned: Path, squares: Dataset) -> None:
    frame = squares.demonstrations[0].frame_paths[0]
    code = (
        "import sys; from pathlib import Path; "
        "from vinn.policies.artefact import load_policy; "
        "from vinn.demos.frames import read_frame; "
        f"p = load_policy(Path({str(cloned)!r})).predict(read_frame(Path({str(frame)!r}))); "
        "assert p.camera_delta.shape == (3,); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "False", run.stderr[-2000:]


def test_implicit_cloning_finds_actions_of_low_energy(
    squares: Dataset, pixels: Path, tmp_path: Path
) -> None:
    config = cloning_config(
        "ibc", overrides=[*SMALL, f"encoder={pixels}", "hidden=[64,64]", "run.epochs=120"]
    )
    mse, still, _ = errors(train_policy(squares, config, tmp_path / "run"), squares)
    assert mse < 0.7 * still


def test_energy_is_the_head_on_embedding_and_action() -> None:
    torch.manual_seed(0)
    config = cloning_config("ibc", overrides=["encoder=none", "hidden=[16,8]"])
    module = ImplicitCloning(None, 6, config)
    embeddings, actions = torch.randn(4, 6), torch.randn(4, 5, 3)
    together = torch.cat([embeddings[:, None].expand(-1, 5, -1), actions], dim=-1)
    torch.testing.assert_close(
        module.energy(embeddings, actions), module.head(together).squeeze(-1)
    )


def test_a_head_says_the_same_in_numpy_and_in_torch() -> None:
    torch.manual_seed(0)
    config = cloning_config("bc-rep", overrides=["encoder=none", "hidden=[16,8]"])
    from vinn.learning.cloning import BehaviourCloning

    module = BehaviourCloning(None, 6, config)
    x = torch.randn(10, 6)
    with torch.no_grad():
        expected = module.head(x).numpy()
    np.testing.assert_allclose(to_mlp(module.head)(x.numpy()), expected, atol=1e-6)


def test_end_to_end_cloning_trains_its_own_encoder(squares: Dataset, tmp_path: Path) -> None:
    config = cloning_config(
        "bc",
        overrides=[
            *SMALL,
            "backbone.name=resnet18",
            "backbone.weights=random",
            "backbone.image_px=32",
            "run.max_steps=2",
        ],
    )
    policy_dir = train_policy(squares, config, tmp_path / "run")
    assert (tmp_path / "run" / "backbone.pt").exists()
    mse, _, _ = errors(policy_dir, squares)
    assert np.isfinite(mse)


@pytest.mark.parametrize("method", ["bc-rep", "ibc"])
def test_a_policy_that_gets_no_better_on_what_is_left_out_ends(
    squares: Dataset, pixels: Path, tmp_path: Path, method: str
) -> None:
    overrides = [*SMALL, f"encoder={pixels}", "run.epochs=400", "run.checkpoint_every_steps=1"]
    stopping = ["stopping.left_out=0.4", "stopping.patience=4", "stopping.every_passes=2"]
    config = cloning_config(
        method, overrides=[*overrides, *stopping, "optimizer.learning_rate=0.02"]
    )
    run = tmp_path / "run"
    policy = load_policy(train_policy(squares, config, run))
    result = json.loads((run / "result.json").read_text())
    left_out = left_out_rows(
        np.repeat(np.arange(len(squares)), [len(d.frame_paths) for d in squares.demonstrations]),
        0.4,
        0,
    )
    steps_of_pass = int((~left_out).sum()) // 36 or 1
    assert result["steps"] < 400 * steps_of_pass
    # The best pass, and not the last one, of which `patience` measurements were worse.
    assert result["steps"] == (result["best_pass"] + 4 * 2) * steps_of_pass
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    kept = best["state_dict"]["head.0.weight"].numpy()
    assert not np.array_equal(kept, last["state_dict"]["head.0.weight"].numpy())
    head = "energy" if method == "ibc" else "action"
    heads = load_heads(run / "policy" / "heads.npz", (head,))
    np.testing.assert_array_equal(heads[head].weights[0], kept)
    assert np.isfinite(
        policy.predict(read_frame(squares.demonstrations[0].frame_paths[0])).camera_delta
    ).all()


def test_end_to_end_cloning_is_watched_on_frames_as_they_are(
    squares: Dataset, tmp_path: Path
) -> None:
    overrides = [
        *SMALL,
        "backbone.name=resnet18",
        "backbone.weights=random",
        "backbone.image_px=32",
    ]
    config = cloning_config(
        "bc", overrides=[*overrides, "run.epochs=3", "stopping.left_out=0.4", "stopping.patience=1"]
    )
    train_policy(squares, config, tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert 1 <= result["best_pass"] <= 3
    assert result["left_out_loss"] > 0


def test_somebody_is_left_to_learn_from() -> None:
    ids = np.repeat(np.arange(5), 3)
    for share in (0.01, 0.2, 0.4, 0.79):
        rows = left_out_rows(ids, share, seed=3)
        # Whole demonstrations, at least one.
        assert rows.reshape(5, 3).all(axis=1).sum() == max(1, round(5 * share)) == rows.sum() / 3
        np.testing.assert_array_equal(rows, left_out_rows(ids, share, seed=3))
    with pytest.raises(DatasetError, match=r"stopping\.left_out: 0\.95 of 5"):
        left_out_rows(ids, 0.95, seed=3)


def test_a_unit_of_length_fits_the_method() -> None:
    deltas = np.array([[0.03, 0, 0], [0, -0.01, 0], [0, 0, 0.02]], np.float32)
    assert action_length(deltas, "bc") == pytest.approx(np.sqrt((9 + 1 + 4) * 1e-4 / 3))
    assert action_length(deltas, "ibc") == pytest.approx(0.03)
    assert action_length(np.zeros((2, 3), np.float32), "bc") == 1.0


def test_embeddings_of_other_demonstrations_are_refused(
    squares: Dataset, pixels: Path, tmp_path: Path
) -> None:
    from vinn.encoders.encoder import load_encoder

    half = squares.split({"a": 0.5, "b": 0.5}, seed=0)
    embedded = embed_dataset(half["a"], load_encoder(pixels))
    config = cloning_config("bc-rep", overrides=[*SMALL, f"encoder={pixels}"])
    with pytest.raises(ArtefactMismatchError, match="dataset"):
        train_policy(half["b"], config, tmp_path / "run", embedded=embedded)
    assert not (tmp_path / "run").exists()


def test_changed_heads_are_refused(cloned: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "policy"
    shutil.copytree(cloned, copy)
    content = bytearray((copy / "heads.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "heads.npz").write_bytes(bytes(content))
    with pytest.raises(ArtefactMismatchError, match=r"heads\.npz"):
        load_policy(copy)


def test_malformed_heads_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "heads.npz"
    layer = Mlp((np.ones((2, 3), np.float32),), (np.zeros(2, np.float32),))
    save_heads(path, {"action": layer})
    with pytest.raises(ArtefactError, match="gripper"):
        load_heads(path, ("action", "gripper"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ArtefactError, match=r"heads\.npz"):
        load_heads(path, ("action",))
    np.savez(path, **{"action.0.weight": np.array([{}], dtype=object)})
    with pytest.raises(ArtefactError, match=r"heads\.npz"):
        load_heads(path, ("action",))
    broken = Mlp((np.full((2, 3), np.nan, np.float32),), (np.zeros(2, np.float32),))
    save_heads(path, {"action": broken})
    with pytest.raises(ArtefactError, match="finite"):
        load_heads(path, ("action",))
