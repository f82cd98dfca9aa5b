"""One training run in one folder: settings, checkpoints, logs; killed runs are taken up again.

config.yaml      the settings; the same folder refuses other ones
checkpoints/     last.ckpt, every `run.checkpoint_every_steps` steps; best.ckpt, where something is
                 left out
logs/            TensorBoard
result.json      written last: its presence says that the run is complete
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from pydantic import BaseModel
from torch.utils.data import DataLoader, RandomSampler
from torch.utils.data import Dataset as TorchDataset

from vinn.demos.files import atomic_file
from vinn.errors import ConfigError, DatasetError
from vinn.learning.config import RunConfig, StoppingConfig, write_config
from vinn.learning.processor import Precision, chosen_precision, physical_cores
from vinn.reading.config_file import read_mapping

OnProgress = Callable[[int, int, float], None]
"""Called with (optimiser steps done, steps in all, loss)."""

OnPass = Callable[[int], None]
"""Called with the passes over the data that are done: 0 before the first one."""

LOG_EVERY_STEPS = 10
"""To TensorBoard."""
LEFT_OUT_LOSS = "left_out_loss"
"""What a module logs of the data that it is watched on."""


@dataclass(frozen=True)
class Watch:
    """What tells a fit that it is done.

    Attributes:
        data: that nothing is learned from.
        settings: how often it is looked at, and for how long without a new least loss.
    """

    data: TorchDataset[Any]
    settings: StoppingConfig


@dataclass(frozen=True)
class Fit:
    """What became of a fit: the trained module's figures, on every process.

    Attributes:
        steps: optimiser steps in all, including those before a resume.
        metrics: last logged values by name.
        seconds: of this process's part.
        writes: whether this process is the one that writes results.
        precision: that it ran in.
        threads: of torch on the CPU, per process.
    """

    steps: int
    metrics: dict[str, float]
    seconds: float
    writes: bool
    precision: Precision
    threads: int

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` says of it, beside what was trained."""
        return {
            "precision": self.precision,
            "threads": self.threads,
            "seconds": round(self.seconds, 1),
            **self.metrics,
        }


def open_run(out_dir: Path, config: BaseModel) -> None:
    """Make a run's folder, or take up one that was started with the same settings.

    Raises:
        ConfigError: the folder holds a complete run, a run with other settings, or other things.
    """
    out_dir = Path(out_dir)
    if (out_dir / "result.json").exists():
        raise ConfigError(f"{out_dir}: holds a complete run already; choose another folder")
    path = out_dir / "config.yaml"
    if path.exists():
        found, wanted = _flat(read_mapping(path)), _flat(config.model_dump(mode="json"))
        for key in wanted:
            if found.get(key) != wanted[key]:
                raise ConfigError(
                    f"{path}: an unfinished run with {key} = {found.get(key)}, wanted "
                    f"{wanted[key]}; use the same settings to take it up, or another folder"
                )
        return
    if out_dir.exists() and any(out_dir.iterdir()):
        raise ConfigError(f"{out_dir}: exists and is not a training run; choose another folder")
    out_dir.mkdir(parents=True, exist_ok=True)
    write_config(config, path)


def lengthen_run(out_dir: Path, config: BaseModel) -> None:
    """Let a run, complete or not, go on to the `run.epochs` of `config` if it has fewer.

    It goes on from its last checkpoint: the learning rate does not depend on the length.
    Other settings are not looked at: `open_run` refuses them.
    """
    path = Path(out_dir) / "config.yaml"
    if not path.exists():
        return
    found = read_mapping(path)
    longer = config.model_dump(mode="json")["run"]["epochs"]
    if found["run"]["epochs"] < longer:
        found["run"]["epochs"] = longer
        (path.parent / "result.json").unlink(missing_ok=True)
        with atomic_file(path, ConfigError) as file:
            file.write(yaml.safe_dump(found, sort_keys=False).encode())


def fit(
    module: lightning.LightningModule,
    data: TorchDataset[Any],
    config: RunConfig,
    out_dir: Path,
    on_progress: OnProgress | None = None,
    on_pass: OnPass | None = None,
    watch: Watch | None = None,
) -> Fit:
    """Train a module, from the last checkpoint in `out_dir` where there is one.

    With `watch` it ends up with the weights that were best there.

    Raises:
        DatasetError: fewer samples than two, which no contrast can be drawn from.
        ConfigError: another process trains in `out_dir`.
    """
    samples = len(data)  # type: ignore[arg-type]  # torch's class has no length of its own
    if samples < 2:
        raise DatasetError(f"{samples} frame(s) to train on; at least 2 are needed")
    if config.threads:
        torch.set_num_threads(config.threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, physical_cores() // config.devices))
    precision = chosen_precision(config.precision, config.accelerator)
    batch_size = min(config.batch_size, samples)
    # Generators of their own: the loader draws a seed earlier in a run that is taken up.
    order = torch.Generator()
    loader: DataLoader[Any] = DataLoader(
        data,
        batch_size=batch_size,
        sampler=RandomSampler(range(samples), generator=order),
        generator=torch.Generator().manual_seed(config.seed),
        drop_last=True,
        collate_fn=_whole,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
    )
    # Lightning reports hardware and offers services on its info level.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    progress = _Progress(on_progress)
    checkpoint = ModelCheckpoint(
        dirpath=out_dir / "checkpoints",
        save_last=True,
        save_top_k=0,
        every_n_train_steps=config.checkpoint_every_steps,
    )
    last = out_dir / "checkpoints" / "last.ckpt"
    callbacks: list[Callback] = [
        checkpoint,
        progress,
        _Draws(config.seed, order),
        _Passes(on_pass),
    ]
    best: ModelCheckpoint | None = None
    watched: DataLoader[Any] | None = None
    if watch is not None:
        best = ModelCheckpoint(
            dirpath=out_dir / "checkpoints",
            filename="best",
            monitor=LEFT_OUT_LOSS,
            enable_version_counter=False,
        )
        patience = EarlyStopping(LEFT_OUT_LOSS, patience=watch.settings.patience)
        callbacks += [best, patience]
        watched = DataLoader(watch.data, batch_size=config.batch_size, collate_fn=_whole)
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
        precision=precision,
        logger=TensorBoardLogger(out_dir, name="logs", version=""),
        callbacks=callbacks,
        check_val_every_n_epoch=1 if watch is None else watch.settings.every_passes,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=LOG_EVERY_STEPS,
    )
    started = time.monotonic()
    with _alone_in(out_dir), warnings.catch_warnings():
        # Advice to developers about loader workers and coming versions.
        warnings.filterwarnings("ignore", module=r"lightning|torch")
        warnings.filterwarnings("ignore", category=FutureWarning)
        trainer.fit(
            module,
            loader,
            watched,
            ckpt_path=str(last) if last.exists() else None,
            weights_only=True,
        )
        # After the last step, so that more passes go on from there and not from some steps before.
        trainer.save_checkpoint(last)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if best is not None and best.best_model_path:
        kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(kept["state_dict"])
        metrics[LEFT_OUT_LOSS] = float(best.best_model_score or np.nan)
        metrics["best_pass"] = kept["epoch"] + 1
    return Fit(
        trainer.global_step,
        metrics,
        time.monotonic() - started,
        trainer.is_global_zero,
        precision,
        torch.get_num_threads(),
    )


def write_result(out_dir: Path, result: dict[str, Any]) -> None:
    """Mark a run complete, atomically."""
    with atomic_file(out_dir / "result.json", ConfigError) as file:
        file.write((json.dumps(result, indent=2) + "\n").encode())


@contextlib.contextmanager
def _alone_in(out_dir: Path) -> Iterator[None]:
    """No other process trains in a folder meanwhile: each would overwrite the other's checkpoints.

    The processes of one training share it; a file system without locks does without.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) or int(os.environ.get("NODE_RANK", "0")):
        yield
        return
    folder = os.open(out_dir, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        os.close(folder)
        raise ConfigError(
            f"{out_dir}: another process trains here; wait for it, or choose another folder"
        ) from cause
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(folder)


def _whole(batch: Any) -> Any:
    """A batch comes from its dataset as it is."""
    return batch


class _Progress(Callback):
    """Forwards Lightning's steps to a function, on the process that writes."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_index: int,
    ) -> None:
        if self._on_progress is not None and trainer.is_global_zero:
            total = trainer.estimated_stepping_batches
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            self._on_progress(trainer.global_step, int(total), float(loss))


class _Draws(Callback):
    """Makes the order and the views of a pass depend on the steps before it, not on the process.

    Else a run that is taken up would draw again what its first passes drew. Where it was killed
    between two passes it goes on exactly as if it had not been.
    """

    def __init__(self, seed: int, order: torch.Generator) -> None:
        self._seed = seed
        self._order = order

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        entropy = [self._seed, trainer.global_rank, trainer.global_step]
        of_order, of_views = np.random.SeedSequence(entropy).generate_state(2)
        self._order.manual_seed(int(of_order))
        torch.manual_seed(int(of_views))


class _Passes(Callback):
    """Tells a function of each pass, on the process that writes."""

    def __init__(self, on_pass: OnPass | None) -> None:
        self._on_pass = on_pass

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if trainer.global_step == 0:
            self._tell(trainer, module, 0)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        self._tell(trainer, module, trainer.current_epoch + 1)

    def _tell(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, done: int
    ) -> None:
        if self._on_pass is not None and trainer.is_global_zero:
            module.eval()
            self._on_pass(done)
            module.train()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
