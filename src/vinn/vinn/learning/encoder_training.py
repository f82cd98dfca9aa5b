"""Train an encoder by self-supervision and export it as an encoder artefact."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning.pytorch as lightning
import torch

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.errors import VinnError
from vinn.learning.allocator import blocks_kept
from vinn.learning.augmentation import RandomViews
from vinn.learning.backbones import Backbone, build_backbone
from vinn.learning.collapse import relative_spread
from vinn.learning.config import BackboneConfig, SelfSupervisionConfig
from vinn.learning.frames import Frames, TwoViews
from vinn.learning.run import OnProgress, fit, open_run, write_result
from vinn.learning.self_supervision import METHODS

COLLAPSE_FRAMES = 128
"""Frames on which a finished encoder is checked for collapse."""


class CollapseError(VinnError):
    """Self-supervision ended with (nearly) one embedding for all frames."""


@blocks_kept()
def train_encoder(
    datasets: Sequence[Dataset],
    config: SelfSupervisionConfig,
    out_dir: Path,
    on_progress: OnProgress | None = None,
    on_pass: Callable[[int, Backbone], None] | None = None,
) -> Path:
    """Train on the frames of one or more datasets, with or without actions.

    The folder is a training run (`vinn.learning.run`) and further holds `backbone.pt`, the weights
    to continue from when new demonstrations arrive, and `encoder/`, the artefact.

    Args:
        datasets: their frames are pooled; several tasks give one joint encoder.
        config: settings.
        out_dir: a new folder, or one of an unfinished run with the same settings.
        on_progress: called with (steps done, steps in all, loss).
        on_pass: called with (passes done, the backbone as it is then, in evaluation mode): before
            the first pass and after each.

    Returns:
        The encoder artefact's folder.

    Raises:
        ConfigError: bad settings, or `out_dir` is taken.
        CollapseError: the embeddings collapsed; nothing was exported.
    """
    lightning.seed_everything(config.run.seed, workers=True, verbose=False)
    backbone = build_backbone(config.backbone)
    open_run(out_dir, config)
    paths = [
        path
        for dataset in datasets
        for demonstration in dataset.demonstrations
        for path in demonstration.frame_paths
    ]
    views = RandomViews(
        config.augmentation, backbone.preprocessing, config.quirks.double_normalisation
    )
    module = METHODS[config.method](backbone, config).train()
    data = TwoViews(Frames(paths, backbone.preprocessing), views)
    done = fit(
        module,
        data,
        config.run,
        out_dir,
        on_progress,
        None if on_pass is None else lambda passes: on_pass(passes, backbone),
    )
    if not done.writes:
        return out_dir / "encoder"
    chosen = paths[:: max(1, len(paths) // COLLAPSE_FRAMES)]
    spread = relative_spread(embed_frames(backbone, chosen))
    if not spread >= config.collapse_limit:
        raise CollapseError(
            f"{out_dir}: embeddings collapsed: relative spread {spread:.4f}, allowed at least "
            f"{config.collapse_limit:g} (collapse_limit); lower optimizer.learning_rate or raise "
            "run.batch_size"
        )
    backbone.save(out_dir / "backbone.pt")
    provenance = {
        "method": config.method,
        "weights": backbone.origin,
        "datasets": [dataset.hash for dataset in datasets],
        "frames": len(paths),
        "steps": done.steps,
        "seed": config.run.seed,
    }
    encoder_dir = out_dir / "encoder"
    # Left by a run that was killed before it was complete: not of these weights.
    shutil.rmtree(encoder_dir, ignore_errors=True)
    backbone.export(encoder_dir, provenance, config.quirks.batch_statistics_at_test)
    write_result(
        out_dir,
        {**provenance, **done.result, "relative_spread": spread},
    )
    return encoder_dir


def export_pretrained(config: BackboneConfig, out_dir: Path) -> Path:
    """Export a backbone as it is, at the input size the other encoders of a comparison have.

    Raises:
        ArtefactError: its weights cannot be had, or `out_dir` exists.
    """
    backbone = build_backbone(config)
    return backbone.export(out_dir, {"weights": backbone.origin})


def embed_frames(backbone: Backbone, paths: Sequence[Path]) -> torch.Tensor:
    """Embeddings (N, D) of frames, as the finished encoder gives them."""
    backbone.features.eval()
    with torch.no_grad():
        embeddings = [
            backbone.features(
                torch.from_numpy(
                    backbone.preprocessing.normalise(
                        backbone.preprocessing.resize(read_frame(path))
                    )
                )
            )
            for path in paths
        ]
    return torch.cat(embeddings)
