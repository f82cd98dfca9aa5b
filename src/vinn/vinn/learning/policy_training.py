"""Train a cloned policy and write it as a policy artefact that needs no torch."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactMismatchError, DatasetError
from vinn.learning.allocator import blocks_kept
from vinn.learning.augmentation import RandomViews
from vinn.learning.backbones import build_backbone
from vinn.learning.cloning import BehaviourCloning, Cloning, ImplicitCloning
from vinn.learning.config import CloningConfig
from vinn.learning.frames import (
    Batch,
    BatchedDataset,
    Embedded,
    Frames,
    FramesWithTargets,
    Targets,
)
from vinn.learning.run import OnProgress, Watch, fit, open_run, write_result
from vinn.policies.artefacts.embedding import EmbeddedDataset, embed_dataset
from vinn.policies.kinds.bc import KIND as CLONED
from vinn.policies.kinds.ibc import KIND as IMPLICIT
from vinn.policies.kinds.parametric import ParametricKind
from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import Mlp

MODULES: dict[str, type[Cloning]] = {
    "bc": BehaviourCloning,
    "bc-rep": BehaviourCloning,
    "ibc": ImplicitCloning,
}


@blocks_kept()
def train_policy(
    dataset: Dataset,
    config: CloningConfig,
    out_dir: Path,
    on_progress: OnProgress | None = None,
    embedded: EmbeddedDataset | None = None,
) -> Path:
    """Clone the behaviour of demonstrations.

    The folder is a training run (`vinn.learning.run`) and further holds `policy/`, the artefact,
    and with end-to-end training `encoder/`.

    Args:
        dataset: demonstrations without actions are left out.
        config: settings.
        out_dir: a new folder, or one of an unfinished run with the same settings.
        on_progress: called with (steps done, steps in all, loss).
        embedded: of `dataset` by `config.encoder`, if at hand.

    Returns:
        The policy artefact's folder.

    Raises:
        DatasetError: no demonstration has actions.
        ConfigError: bad settings, or `out_dir` is taken.
        ArtefactError: the encoder is missing or malformed.
        ArtefactMismatchError: `embedded` belongs to something else.
    """
    dataset = dataset.with_actions()
    lightning.seed_everything(config.run.seed, workers=True, verbose=False)
    memory = ActionMemory.of(dataset)
    length = action_length(memory.camera_delta, config.method)
    targets = Targets(memory.camera_delta, memory.gripper, length)
    if config.encoder is None:
        backbone = build_backbone(config.backbone)
        open_run(out_dir, config)
        paths = [path for d in dataset.demonstrations for path in d.frame_paths]
        frames = Frames(paths, backbone.preprocessing)
        views = RandomViews(config.augmentation, backbone.preprocessing)
        data: BatchedDataset[Batch] = FramesWithTargets(frames, targets, views)
        plain: BatchedDataset[Batch] = FramesWithTargets(frames, targets, views.plain)
        module = MODULES[config.method](backbone.features, backbone.dimension, config)
        encoder_dir = out_dir / "encoder"
    else:
        encoder_dir = Path(config.encoder)
        manifest = read_manifest(encoder_dir)
        if embedded is None:
            embedded = embed_dataset(dataset, load_encoder(encoder_dir))
        for what, found, wanted in (
            ("dataset", embedded.dataset_hash, dataset.hash),
            ("encoder", embedded.encoder_hash, manifest.hash),
        ):
            if found != wanted:
                raise ArtefactMismatchError(
                    f"embeddings are of {what} {found[:12]}, wanted {wanted[:12]}"
                )
        open_run(out_dir, config)
        data = plain = Embedded(embedded.embeddings, targets)
        module = MODULES[config.method](None, manifest.dimension, config)
    learned: TorchDataset[Batch] = data
    watch = None
    if config.stopping is not None:
        rows = left_out_rows(memory.demonstration_ids, config.stopping.left_out, config.run.seed)
        learned = Subset(data, np.flatnonzero(~rows).tolist())
        watch = Watch(Subset(plain, np.flatnonzero(rows).tolist()), config.stopping)
    done = fit(module, learned, config.run, out_dir, on_progress, watch=watch)
    policy_dir = out_dir / "policy"
    if not done.writes:
        return policy_dir
    provenance = {
        "method": config.method,
        "steps": done.steps,
        "seed": config.run.seed,
        "dataset": dataset.hash,
    }
    # What is there was left by a run that was killed before it was complete.
    shutil.rmtree(policy_dir, ignore_errors=True)
    if config.encoder is None:
        shutil.rmtree(encoder_dir, ignore_errors=True)
        backbone.save(out_dir / "backbone.pt")
        backbone.export(encoder_dir, {**provenance, "weights": backbone.origin})
    kind: ParametricKind = IMPLICIT if config.method == "ibc" else CLONED
    kind.build_trained(
        dataset,
        encoder_dir,
        {
            "energy" if config.method == "ibc" else "action": to_mlp(module.head),
            "gripper": to_mlp(torch.nn.Sequential(module.gripper)),
        },
        policy_dir,
        length=length,
        samples=config.test_samples,
        iterations=config.test_iterations,
        seed=config.run.seed,
        provenance=provenance,
    )
    write_result(out_dir, {**provenance, **done.result})
    return policy_dir


def left_out_rows(
    demonstration_ids: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """(N,) which frames are of the demonstrations left out, a share of them, drawn with `seed`.

    Raises:
        DatasetError: nothing would be left to learn from.
    """
    known = np.unique(demonstration_ids)
    count = max(1, round(share * len(known)))
    if count >= len(known):
        raise DatasetError(
            f"stopping.left_out: {share:g} of {len(known)} demonstrations leaves none to learn "
            "from; allowed: a smaller share, or more demonstrations"
        )
    chosen = np.random.default_rng(seed).choice(known, count, replace=False)
    return np.isin(demonstration_ids, chosen)


def action_length(camera_delta: NDArray[np.float32], method: str) -> float:
    """What a translation head calls 1, in the unit of the actions (N, 3).

    Regression works on translations of root-mean-square length 1; implicit BC needs them inside
    [-1, 1]^3. Demonstrations that never move have length 1.
    """
    if method == "ibc":
        length = float(np.abs(camera_delta).max())
    else:
        length = float(np.sqrt((camera_delta.astype(np.float64) ** 2).sum(axis=1).mean()))
    return length if length > 0 else 1.0


def to_mlp(layers: torch.nn.Sequential) -> Mlp:
    """The linear layers of a trained head as arrays."""
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    return Mlp(
        tuple(layer.weight.detach().cpu().numpy() for layer in linear),
        tuple(layer.bias.detach().cpu().numpy() for layer in linear),
    )
