"""Beyond the paper: `vinn-plus` and its switches against the paper's policy, on the door task.

Offline, every row is tested on cabinets without demonstrations: one cabinet of the training
demonstrations at a time is left out, of what neighbours come from, of the metric, and of the choice
of k and bandwidth. (The channels of local features are the principal ones of all training frames;
they know no actions.) Test demonstrations are not touched, so this may choose settings. In closed
loop the same trials are done by every row (`vinn.paper.closed_loop.run`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.encoders.encoder import load_encoder
from vinn.evaluation.trial_pool import TrialPool
from vinn.learning.darp_head import train_darp_head
from vinn.paper.closed_loop.config import ClosedLoopConfig
from vinn.paper.closed_loop.run import OnTrial, run_closed_loop
from vinn.paper.methods import BEYOND, Method, PolicyForm
from vinn.paper.preset_rows import row_embeddings, row_preset
from vinn.paper.workspace import Workspace
from vinn.policies.artefacts.build_preset import fit_metric
from vinn.policies.artefacts.selection import select_k_and_bandwidth
from vinn.policies.darp import DarpPolicy
from vinn.policies.features import Features, join_context
from vinn.policies.memory import ActionMemory
from vinn.policies.preset import PolicyPreset
from vinn.policies.types import demonstrated_step
from vinn.policies.vinn import VinnPolicy
from vinn.reading.config_file import load_preset
from vinn.retrieval.flat import FlatNeighbors
from vinn.tasks.data import TaskData

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/beyond`, installed with the package."""


class BeyondConfig(BaseModel):
    """What `vinn eval beyond` measures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    main: ClosedLoopConfig
    """Rows in every condition."""
    switches: ClosedLoopConfig
    """Rows that differ from `vinn-plus` or from the paper's policy in one setting."""
    offline: tuple[str, ...] = Field(default=tuple(BEYOND))
    """Rows whose error on left-out cabinets is measured."""


def load_beyond_config(name_or_path: str) -> BeyondConfig:
    """Read a preset by its name, or a YAML file.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    return load_preset(name_or_path, BeyondConfig, PRESETS_DIR)


@dataclass(frozen=True)
class CabinetError:
    """Errors on the frames of a cabinet without demonstrations, over those of the mean.

    Attributes:
        translation: MSE over the variance of the demonstrations' translations.
        gripper: the same of the gripper's value.
    """

    translation: float
    gripper: float


def run_beyond(
    config: BeyondConfig,
    data: TaskData,
    workspace: Workspace,
    on_trial: OnTrial | None = None,
    pool: TrialPool | None = None,
) -> None:
    """Do what was not done yet: sampled and left-out cabinets, offline, switches, the rest."""
    sampled = {"methods": (), "left_out": False, "occlusions": ()}
    held_out = {"methods": (), "occlusions": ()}
    for first in (sampled, held_out):
        run_closed_loop(config.main.model_copy(update=first), data, workspace, on_trial, pool)
    for done, name in enumerate(config.offline):
        if on_trial is not None:
            on_trial(done, len(config.offline), f"offline: {name}")
        offline_unit(workspace, BEYOND[name], data)
    run_closed_loop(config.switches, data, workspace, on_trial, pool)
    run_closed_loop(config.main, data, workspace, on_trial, pool)


def offline_unit(
    workspace: Workspace, method: Method, data: TaskData, only_measured: bool = False
) -> dict[str, Any] | None:
    """Errors of a row on every left-out cabinet, kept in the workspace."""
    folder, name = workspace.task_dir(data), f"beyond-{method.name}"
    if only_measured:
        return workspace.measured_unit(folder, name)

    def measure() -> dict[str, Any]:
        errors = left_out_errors(workspace, method, data)
        return {
            "translation": {cabinet: error.translation for cabinet, error in errors.items()},
            "gripper": {cabinet: error.gripper for cabinet, error in errors.items()},
        }

    return workspace.unit(folder, name, measure)


def left_out_errors(
    workspace: Workspace, method: Method, data: TaskData
) -> dict[str, CabinetError]:
    """By cabinet, what a row predicts for it from the demonstrations of the others."""
    preset = row_preset(method)
    encoder_dir, embedded = row_embeddings(workspace, method, preset, data)
    memory = ActionMemory.of(data.train, preset.views)
    by_demonstration = [str(d.meta.provenance.get("cabinet")) for d in data.train.demonstrations]
    cabinets = np.array(by_demonstration * len(preset.views))[memory.demonstration_ids]
    originals = memory.demonstration_ids < len(data.train)
    errors = {}
    for cabinet in sorted(set(by_demonstration)):
        others = np.flatnonzero(cabinets != cabinet)
        policy: VinnPolicy
        if method.form is PolicyForm.DIFFERENCE_AWARE:
            policy = _darp_of_rows(
                workspace, preset, encoder_dir, embedded.embeddings[others], memory.only(others)
            )
        else:
            policy = _policy_of_rows(preset, encoder_dir, embedded.embeddings, memory, others)
        own = np.flatnonzero((cabinets == cabinet) & originals)
        errors[cabinet] = _error(policy, embedded.embeddings, memory, own)
    return errors


def _policy_of_rows(
    preset: PolicyPreset,
    encoder_dir: Path,
    embeddings: NDArray[np.float32],
    memory: ActionMemory,
    rows: NDArray[np.int64],
) -> VinnPolicy:
    """The preset's policy of some rows alone."""
    part = memory.only(rows)
    joined = join_context(embeddings[rows], part.demonstration_ids, preset.context)
    metric = fit_metric(preset, joined, part)
    stored = joined if metric is None else metric(joined)
    k, bandwidth = preset.k, preset.bandwidth
    if preset.select:
        chosen = select_k_and_bandwidth(
            stored, part.camera_delta, part.origin_ids, gripper=part.gripper
        )
        k, bandwidth = chosen.k, chosen.bandwidth
    return VinnPolicy(
        load_encoder(encoder_dir),
        FlatNeighbors(stored),
        part,
        k,
        bandwidth,
        project_to_unit=preset.project_to_unit,
        features=Features(preset.context, metric),
        progress=preset.progress,
    )


def _darp_of_rows(
    workspace: Workspace,
    preset: PolicyPreset,
    encoder_dir: Path,
    embeddings: NDArray[np.float32],
    memory: ActionMemory,
) -> DarpPolicy:
    head, length = workspace.training.call(train_darp_head, embeddings, memory, preset.k, 0)
    return DarpPolicy(
        load_encoder(encoder_dir),
        FlatNeighbors(embeddings),
        memory,
        preset.k,
        features_of_rows=embeddings,
        head=head,
        length=length,
    )


def _error(
    policy: VinnPolicy,
    embeddings: NDArray[np.float32],
    memory: ActionMemory,
    rows: NDArray[np.int64],
) -> CabinetError:
    delta, state, running = [], [], -1
    for row in rows:
        if memory.demonstration_ids[row] != running:
            policy.reset()
            running = memory.demonstration_ids[row]
        prediction = policy.predict_embedding(embeddings[row])
        taken = demonstrated_step(memory.camera_delta[row], int(memory.gripper[row]))
        policy.advance(prediction, taken)
        delta.append(prediction.camera_delta)
        state.append(prediction.gripper_value)
    return CabinetError(
        translation=_relative(np.array(delta), memory.camera_delta[rows], memory.camera_delta),
        gripper=_relative(
            np.array(state)[:, None], memory.gripper[rows, None], memory.gripper[:, None]
        ),
    )


def _relative(predicted: NDArray[Any], wanted: NDArray[Any], known: NDArray[Any]) -> float:
    """MSE over the mean square of all demonstrations around their mean."""
    variance = ((known - known.mean(axis=0, dtype=np.float64)) ** 2).mean()
    return float(((predicted - wanted) ** 2).mean() / max(float(variance), np.finfo(float).tiny))
