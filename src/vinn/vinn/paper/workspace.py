"""Where a comparison keeps what it trains, so that nothing is trained twice.

    ROOT/encoders/{imagenet,raw-pixels}            the same for every task
    ROOT/TASK-HASH/encoders/KIND-SEED              training runs; KIND-SEED/encoder is the artefact
    ROOT/TASK-HASH/embeddings/ENCODER-FRAMES.npy   of the frames of train, test or pool
    ROOT/TASK-HASH/policies/METHOD-SEED            policy artefacts or training runs
    ROOT/TASK-HASH/units/UNIT.json                 results
    ROOT/joint-HASHES/...                          what depends on the training frames of all tasks

HASH is the training demonstrations'. Every part appears when it is complete; a killed run goes on
with the first part that is missing, and a training run from its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest
from vinn.encoders.encoder import load_for_datasets
from vinn.errors import ArtefactError, ConfigError
from vinn.evaluation.own_process import OwnProcess
from vinn.learning.config import (
    BackboneConfig,
    CloningConfig,
    SelfSupervisionConfig,
    cloning_config,
    self_supervision_config,
)
from vinn.paper.methods import EncoderKind, Method, PolicyForm
from vinn.paper.offline.config import TablesConfig
from vinn.paper.preset_rows import build_preset_row
from vinn.policies.artefacts.embedding import EmbeddedDataset, embed_dataset
from vinn.policies.artefacts.selection import Selection, select_k_and_bandwidth
from vinn.policies.build import build_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.kinds.random import KIND as RANDOM
from vinn.policies.memory import ActionMemory
from vinn.policies.vinn import PAPER_BANDWIDTH
from vinn.reading.arrays import check_finite, read_npy
from vinn.reading.documents import read_json
from vinn.tasks.data import TaskData

SELF_SUPERVISION: dict[EncoderKind, str] = {
    EncoderKind.BYOL: "byol",
    EncoderKind.BYOL_SCRATCH: "byol",
    EncoderKind.SIMCLR: "simclr",
    EncoderKind.VICREG: "vicreg",
    EncoderKind.JOINT: "byol",
    EncoderKind.QUIRKS: "byol",
    EncoderKind.NORMALISED_TWICE: "byol",
    EncoderKind.BATCH_STATISTICS: "byol",
}
QUIRKS: dict[EncoderKind, dict[str, bool]] = {
    EncoderKind.QUIRKS: {"double_normalisation": True, "batch_statistics_at_test": True},
    EncoderKind.NORMALISED_TWICE: {"double_normalisation": True},
    EncoderKind.BATCH_STATISTICS: {"batch_statistics_at_test": True},
}
HASH_LENGTH = 8
JOINT_HASH_LENGTH = 4


class Workspace:
    """Trains and finds the parts of a comparison.

    Args:
        root: folder; made if needed.
        config: budgets.
        tasks: all tasks of the comparison; the joint encoder learns from all of them.
    """

    def __init__(self, root: Path, config: TablesConfig, tasks: Sequence[TaskData]) -> None:
        self.root = Path(root)
        self.config = config
        self._tasks = tuple(tasks)
        self.training = OwnProcess()

    def close(self) -> None:
        """End the process that trains."""
        self.training.close()

    def task_dir(self, data: TaskData, encoder: EncoderKind | None = None) -> Path:
        """The folder of a task's parts; another one where they depend on the other tasks too."""
        root = self._joint_dir() if encoder is EncoderKind.JOINT else self.root
        return root / f"{data.name}-{data.train.hash[:HASH_LENGTH]}"

    def _joint_dir(self) -> Path:
        hashes = "-".join(task.train.hash[:JOINT_HASH_LENGTH] for task in self._tasks)
        return self.root / f"joint-{hashes}"

    def unit(
        self, folder: Path, name: str, measure: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """The result of a unit of work: read if it was measured before, else measured and kept.

        Args:
            folder: of the task's parts that it belongs to (`task_dir`).
            name: of the unit in that folder.
            measure: does the work.
        """
        found = self.measured_unit(folder, name)
        if found is not None:
            return found
        result = measure()
        path = folder / "units" / f"{name}.json"
        with atomic_file(path, ConfigError) as file:
            file.write(json.dumps(result, indent=2).encode())
        return result

    @staticmethod
    def measured_unit(folder: Path, name: str) -> dict[str, Any] | None:
        """The result of a unit that was measured before; None if it was not."""
        path = folder / "units" / f"{name}.json"
        if not path.exists():
            return None
        found: dict[str, Any] = read_json(path, ConfigError)
        return found

    def _shared(self, path: Path, export: Callable[..., Path], *arguments: object) -> Path:
        """What every task needs, exported if it is not there yet."""
        if not path.exists():
            try:
                self.training.call(export, *arguments, path)
            except ArtefactError:
                # Of several processes on the same work one is first; its folder appears complete.
                if not path.exists():
                    raise
        return path

    def encoder(self, kind: EncoderKind, data: TaskData, seed: int) -> Path:
        """The encoder artefact of a kind, trained if it is not there yet."""
        shared = self.root / "encoders" / kind.value
        if kind is EncoderKind.IMAGENET:
            return self._shared(shared, _export_pretrained, self.config.backbone)
        if kind is EncoderKind.RAW_PIXELS:
            return self._shared(shared, _export_raw_pixels)
        folder, datasets = self.task_dir(data), [data.train]
        if kind is EncoderKind.JOINT:
            datasets = [task.train for task in self._tasks]
            folder = self._joint_dir()
        run = folder / "encoders" / f"{kind.value}-{seed}"
        if not (run / "result.json").exists():
            method = SELF_SUPERVISION[kind]
            backbone = self.config.backbone.model_dump()
            # A row that collapsed is a result: the tables say so (`collapsed`).
            changes: dict[str, Any] = {
                "backbone": backbone,
                "run": {"seed": seed},
                "collapse_limit": 0.0,
            }
            if kind is EncoderKind.BYOL_SCRATCH:
                backbone["weights"] = "random"
            if kind in QUIRKS:
                changes["quirks"] = QUIRKS[kind]
            config = self_supervision_config(
                method, changes=_merged(self.config.train.get(method, {}), changes)
            )
            self.training.call(_train_encoder, datasets, config, run)
        return run / "encoder"

    def collapsed(self, kind: EncoderKind | None, data: TaskData, seed: int) -> bool:
        """Whether self-supervision gave (nearly) one embedding for all frames."""
        if kind not in SELF_SUPERVISION:
            return False
        run = self.encoder(kind, data, seed).parent
        found = read_json(run / "result.json", ConfigError)
        return not found["relative_spread"] >= SelfSupervisionConfig().collapse_limit

    def embeddings(self, encoder_dir: Path, data: TaskData, part: str) -> EmbeddedDataset:
        """Embeddings of the frames of `train`, `test` or `pool`."""
        dataset: Dataset = getattr(data, part)
        encoder_hash = read_manifest(encoder_dir).hash
        name = f"{encoder_hash[:HASH_LENGTH]}-{dataset.hash[:HASH_LENGTH]}.npy"
        path = self.task_dir(data) / "embeddings" / name
        if path.exists():
            known = read_npy(path, ConfigError)
            check_finite(known, path, ConfigError)
            return EmbeddedDataset(known, dataset.hash, encoder_hash)
        embedded = embed_dataset(dataset, load_for_datasets(encoder_dir))
        with atomic_file(path, ConfigError) as file:
            np.save(file, embedded.embeddings)
        return embedded

    def policy(self, method: Method, data: TaskData, seed: int) -> Path:
        """The policy artefact of a method, trained if it is not there yet."""
        folder = self.task_dir(data, method.encoder) / "policies" / f"{method.name}-{seed}"
        cloned = method.form in CLONING_METHODS
        if (folder / ("result.json" if cloned else "manifest.json")).exists():
            return folder / "policy" if cloned else folder
        if method.form is PolicyForm.RANDOM:
            return RANDOM.build(BuildRequest(data.train, folder, seed=seed))
        if method.form is PolicyForm.OPEN_LOOP:
            return OPEN_LOOP.build(BuildRequest(data.train, folder))
        if method.preset is not None:
            return build_preset_row(self, method, data, seed, folder)
        encoder_dir = None if method.encoder is None else self.encoder(method.encoder, data, seed)
        embedded = None if encoder_dir is None else self.embeddings(encoder_dir, data, "train")
        if cloned:
            config = self.cloning(method, encoder_dir, seed)
            return self.training.call(clone, data.train, config, folder, embedded)
        if encoder_dir is None or embedded is None:
            raise ConfigError(f"method {method.name}: nearest neighbours need an encoder")
        selection = self.selection(method, ActionMemory.of(data.train), embedded.embeddings)
        return build_policy(
            data.train,
            encoder_dir,
            folder,
            selection.k,
            selection.bandwidth,
            embedded=embedded,
            name=method.title,
            provenance={"method": method.name, "seed": seed},
        )

    def cloning(self, method: Method, encoder_dir: Path | None, seed: int) -> CloningConfig:
        """Settings of a cloning method in this comparison."""
        name = CLONING_METHODS[method.form]
        changes: dict[str, Any] = {
            "backbone": self.config.backbone.model_dump(),
            "encoder": None if encoder_dir is None else str(encoder_dir),
            "run": {"seed": seed},
        }
        return cloning_config(name, changes=_merged(self.config.train.get(name, {}), changes))

    def selection(
        self, method: Method, memory: ActionMemory, embeddings: NDArray[np.float32]
    ) -> Selection:
        """k, and with `method.bandwidth_chosen` the bandwidth, by leave-one-demonstration-out."""
        longest = int(np.bincount(memory.demonstration_ids).max())
        ks = [k for k in self.config.ks if k <= len(memory) - longest]
        return select_k_and_bandwidth(
            embeddings,
            memory.camera_delta,
            memory.demonstration_ids,
            ks or [1],
            None if method.bandwidth_chosen else [PAPER_BANDWIDTH],
        )


CLONING_METHODS: dict[PolicyForm, str] = {
    PolicyForm.CLONING: "bc",
    PolicyForm.CLONING_ON_REPRESENTATION: "bc-rep",
    PolicyForm.IMPLICIT: "ibc",
}


# What needs torch is imported in the process that does it; the one that calls stays without.


def clone(
    dataset: Dataset, config: CloningConfig, out_dir: Path, embedded: EmbeddedDataset | None
) -> Path:
    """`train_policy`, for `OwnProcess.call`."""
    from vinn.learning.policy_training import train_policy

    return train_policy(dataset, config, out_dir, None, embedded)


def _train_encoder(
    datasets: Sequence[Dataset], config: SelfSupervisionConfig, out_dir: Path
) -> Path:
    from vinn.learning.encoder_training import train_encoder

    return train_encoder(datasets, config, out_dir)


def _export_pretrained(config: BackboneConfig, out_dir: Path) -> Path:
    from vinn.learning.encoder_training import export_pretrained

    return export_pretrained(config, out_dir)


def _export_raw_pixels(out_dir: Path) -> Path:
    from vinn.learning.raw_pixels import export_raw_pixels

    return export_raw_pixels(out_dir)


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
