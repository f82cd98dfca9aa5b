"""Rows of the comparison that are a policy preset: encoders and embeddings kept in the workspace.

WORK/TASK-HASH/encoders/local-ENCODER-SETTINGS      local features of the task's demonstrations
WORK/TASK-HASH/embeddings/ENCODER-FRAMES-VIEW.npy   of one view
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_encoder
from vinn.encoders.local import localise_encoder
from vinn.errors import ConfigError
from vinn.learning.darp_head import train_darp_head
from vinn.paper.grasp.detectors import robot_of_actions, train_detector
from vinn.paper.methods import Method, PolicyForm
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.artefacts.embedding import EmbeddedDataset, embed_dataset
from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import Mlp
from vinn.policies.preset import PolicyPreset, load_preset
from vinn.reading.arrays import check_finite, read_npy
from vinn.tasks.data import TaskData

if TYPE_CHECKING:
    from vinn.paper.workspace import Workspace

HASH_LENGTH = 8


def row_preset(method: Method) -> PolicyPreset:
    """The preset of a row with its changes.

    Raises:
        ConfigError: unknown preset, or the row has none.
    """
    if method.preset is None:
        raise ConfigError(f"method {method.name}: has no preset")
    changed = {**load_preset(method.preset).model_dump(), **dict(method.changes)}
    return PolicyPreset.model_validate(changed)


def build_preset_row(
    workspace: Workspace, method: Method, data: TaskData, seed: int, folder: Path
) -> Path:
    """Build the policy of a row to `folder`."""
    preset = row_preset(method)
    preset = preset.model_copy(update={"mirrored": preset.mirrored and data.mirrored})
    encoder_dir, embedded = row_embeddings(workspace, method, preset, data, seed)
    train = None
    if method.form is PolicyForm.DIFFERENCE_AWARE:

        def train(features: NDArray[np.float32], memory: ActionMemory, k: int) -> tuple[Mlp, float]:
            return workspace.training.call(train_darp_head, features, memory, k, seed)

    return build_from_preset(
        data.train,
        encoder_dir,
        folder,
        preset.model_copy(update={"local": None}),
        embedded=embedded,
        name=method.title,
        provenance={
            "method": method.name,
            "preset": preset.model_dump(mode="json"),
            "seed": seed,
        },
        train_head=train,
        detector_dir=_detector(workspace, method, preset, data, seed),
    )


def _detector(
    workspace: Workspace, method: Method, preset: PolicyPreset, data: TaskData, seed: int
) -> Path | None:
    """The detector of grasp points of a row that has one, trained if it is not there yet."""
    if preset.grasp_point is None or method.encoder is None:
        return None
    folder = workspace.task_dir(data) / "detectors" / f"{method.encoder.value}-{seed}"
    if not folder.exists():
        encoder_dir = workspace.encoder(method.encoder, data, seed)
        robot = robot_of_actions(data.train.action_scale, robot=data.robot)
        workspace.training.call(
            train_detector, data.train, encoder_dir, folder, robot, seed, data.mirrored
        )
    return folder


def row_embeddings(
    workspace: Workspace, method: Method, preset: PolicyPreset, data: TaskData, seed: int = 0
) -> tuple[Path, EmbeddedDataset]:
    """The encoder of a row, and the embeddings of the training frames in all its views."""
    if method.encoder is None:
        raise ConfigError(f"method {method.name}: nearest neighbours need an encoder")
    encoder_dir = workspace.encoder(method.encoder, data, seed)
    if preset.local is not None:
        source = read_manifest(encoder_dir).hash[:HASH_LENGTH]
        local = preset.local
        contrast = "-contrast" if local.contrast else ""
        name = f"local-{source}-{local.stride}-{local.grid}-{local.channels}{contrast}"
        localised = workspace.task_dir(data) / "encoders" / name
        if not localised.exists():
            paths = [path for d in data.train.demonstrations for path in d.frame_paths]
            localise_encoder(encoder_dir, paths, localised, local)
        encoder_dir = localised
    return encoder_dir, _embedded(workspace, encoder_dir, data, preset.views)


def _embedded(
    workspace: Workspace, encoder_dir: Path, data: TaskData, views: tuple[str, ...]
) -> EmbeddedDataset:
    """Embeddings of the training frames in all views, each view kept in a file of its own."""
    encoder_hash = read_manifest(encoder_dir).hash
    parts: list[NDArray[np.float32]] = []
    for view in views:
        name = f"{encoder_hash[:HASH_LENGTH]}-{data.train.hash[:HASH_LENGTH]}-{view}.npy"
        path = workspace.task_dir(data) / "embeddings" / name
        if not path.exists():
            embedded = embed_dataset(data.train, load_encoder(encoder_dir), views=(view,))
            with atomic_file(path, ConfigError) as file:
                np.save(file, embedded.embeddings)
        parts.append(read_npy(path, ConfigError))
        check_finite(parts[-1], path, ConfigError)
    return EmbeddedDataset(np.concatenate(parts), data.train.hash, encoder_hash, views)
