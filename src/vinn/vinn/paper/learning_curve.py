"""Does a self-supervised encoder get better with more passes? Variants of a training, side by side.

A share of the demonstrations is left out of the training; after chosen passes the encoder as it is
then embeds all frames, and the left-out ones are asked for their actions. So settings are chosen
without looking at test demonstrations.

OUT/settings.yaml   what is compared; the same folder takes up more passes and further variants
OUT/NAME/           one training run a variant; a killed one goes on there
OUT/NAME.json       its points, by passes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from vinn.demos.store import Dataset
from vinn.errors import ConfigError
from vinn.evaluation.results import Results
from vinn.learning.config import (
    Section,
    SelfSupervisionConfig,
    self_supervision_config,
    write_config,
)
from vinn.policies.artefacts.selection import select_k_and_bandwidth
from vinn.policies.memory import ActionMemory
from vinn.policies.vinn import softmin_weights
from vinn.reading.config_file import load_config, read_mapping
from vinn.viz.output import write_text
from vinn.viz.plots import lines

OnStep = Callable[[str, int, int, float], None]
"""Called with (variant, steps done, steps in all, loss)."""


class Variant(Section):
    """One training that is compared with the others."""

    method: Literal["byol", "simclr", "vicreg"] = "byol"
    train: dict[str, Any] = Field(default_factory=dict)
    """Settings that differ from the common ones."""


class CurveConfig(Section):
    """What is compared."""

    passes: tuple[int, ...] = Field(default=(0, 1, 2, 5, 10, 20), min_length=1)
    """After which the encoder is measured; the last one ends the training."""
    left_out: float = Field(default=0.25, gt=0, lt=1)
    """Share of the demonstrations that no training sees."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Settings common to all variants."""
    variants: dict[str, Variant] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_valid(self) -> CurveConfig:
        if list(self.passes) != sorted(set(self.passes)) or self.passes[0] < 0:
            raise ValueError(f"passes: {list(self.passes)}; allowed: 0 or more, ascending")
        if self.passes[-1] < 1:
            raise ValueError(f"passes: {list(self.passes)}; allowed: the last one 1 or more")
        for name in self.variants:
            if not name or not set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-"):
                raise ValueError(f"variants: '{name}'; allowed: lower case, digits, '.', '-'")
        return self

    def training(self, name: str) -> SelfSupervisionConfig:
        """The settings of a variant's training.

        Raises:
            ConfigError: an unknown key, or a value out of range.
        """
        variant = self.variants[name]
        changes = _joined(self.train, variant.train)
        changes = _joined(changes, {"run": {"epochs": self.passes[-1], "max_steps": None}})
        # An encoder that collapses is a result here, not an error.
        changes["collapse_limit"] = 0.0
        return self_supervision_config(variant.method, changes=changes)


@dataclass(frozen=True)
class CurvePoint:
    """An encoder after some passes.

    Attributes:
        passes: over the frames that it trains on.
        left_out_mse: of translations of left-out frames, over frames and components, in the
            dataset's action scale squared; k and bandwidth are chosen among the others.
        relative_spread: of the left-out frames' embeddings, 0 to 1.
    """

    passes: int
    left_out_mse: float
    relative_spread: float


def load_curve_config(path: Path) -> CurveConfig:
    """Read a YAML file and check the settings of every variant.

    Raises:
        ConfigError: names the file, the key and what is allowed.
    """
    config = load_config(path, CurveConfig)
    for name in config.variants:
        config.training(name)
    return config


def learning_curves(
    dataset: Dataset,
    config: CurveConfig,
    out_dir: Path,
    on_step: OnStep | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, list[CurvePoint]]:
    """Train and measure every variant that is not complete yet.

    Args:
        dataset: training demonstrations with actions.
        config: what is compared.
        out_dir: a new folder, or one of a comparison of the same settings, complete or not; with
            more passes its variants go on from their last checkpoints.
        on_step: told of progress.
        only: these variants; None: all.

    Returns:
        Points by variant, in order of passes.

    Raises:
        ConfigError: `out_dir` holds a comparison of other settings, or `only` names none of them.
        DatasetError: fewer than 4 demonstrations with actions, or a damaged frame.
    """
    names = list(config.variants if only is None else only)
    for name in names:
        if name not in config.variants:
            raise ConfigError(
                f"variants: '{name}' is not in the settings; allowed: {', '.join(config.variants)}"
            )
    out_dir = Path(out_dir)
    settings = out_dir / "settings.yaml"
    if settings.exists():
        _check_continues(settings, config)
    dataset = dataset.with_actions()
    parts = dataset.split({"known": 1 - config.left_out, "left_out": config.left_out}, seed=0)
    for name, part in parts.items():
        if len(part) < 2:
            raise ConfigError(
                f"left_out: {config.left_out:g} of {len(dataset)} demonstrations leaves "
                f"{len(part)} ({name}); allowed: at least 2 of either"
            )
    out_dir.mkdir(parents=True, exist_ok=True)
    write_config(config, settings)
    return {
        name: _curve(name, parts["known"], parts["left_out"], config, out_dir, on_step)
        for name in names
    }


def left_out_error(
    known: NDArray[np.float32],
    memory: ActionMemory,
    asked: NDArray[np.float32],
    truth: ActionMemory,
) -> float:
    """Mean squared error of translations that neighbours give.

    Args:
        known: (N, D) embeddings.
        memory: their actions; k and bandwidth are chosen by leaving its demonstrations out.
        asked: (Q, D) embeddings.
        truth: their actions.
    """
    chosen = select_k_and_bandwidth(known, memory.camera_delta, memory.demonstration_ids)
    errors = []
    for embedding, delta in zip(asked, truth.camera_delta, strict=True):
        distances = np.linalg.norm((known - embedding).astype(np.float64), axis=1)
        rows = np.argsort(distances, kind="stable")[: chosen.k]
        weights = softmin_weights(distances[rows], chosen.bandwidth)
        errors.append(((weights @ memory.camera_delta[rows] - delta) ** 2).mean())
    return float(np.mean(errors))


def add_curves(results: Results, curves: Mapping[str, list[CurvePoint]]) -> None:
    """Rows of every point of the curves; those of the same variants that were there go."""
    for name, points in curves.items():
        what = f"learning curve, {name}: "
        results.forget(what)
        for point in points:
            results.add(
                f"{what}error on left-out frames after {point.passes} passes",
                float(f"{point.left_out_mse:.4g}"),
                "of the action scale squared",
            )
        results.add(
            f"{what}relative spread after {points[-1].passes} passes",
            round(points[-1].relative_spread, 3),
        )


def curve_plots(curves: Mapping[str, list[CurvePoint]]) -> dict[str, str]:
    """SVG of the error and of the spread against passes, by file name."""
    error, spread = (
        {
            name: ([p.passes for p in points], [getattr(p, figure) for p in points])
            for name, points in curves.items()
        }
        for figure in ("left_out_mse", "relative_spread")
    )
    many = len(curves)
    return {
        "left_out_error.svg": lines(
            error, "passes over the frames", "error on left-out frames", max_legend=many
        ),
        "spread.svg": lines(
            spread, "passes over the frames", "relative spread of embeddings", max_legend=many
        ),
    }


def _curve(
    name: str,
    known: Dataset,
    left_out: Dataset,
    config: CurveConfig,
    out_dir: Path,
    on_step: OnStep | None,
) -> list[CurvePoint]:
    from vinn.learning.backbones import Backbone
    from vinn.learning.collapse import relative_spread
    from vinn.learning.encoder_training import embed_frames, train_encoder
    from vinn.learning.run import lengthen_run

    path = out_dir / f"{name}.json"
    points = _read_points(path)
    memory, truth = ActionMemory.of(known), ActionMemory.of(left_out)

    def measure(passes: int, backbone: Backbone) -> None:
        if passes not in config.passes:
            return
        of_known, of_left_out = (
            embed_frames(backbone, [p for d in part.demonstrations for p in d.frame_paths])
            for part in (known, left_out)
        )
        error = left_out_error(of_known.numpy(), memory, of_left_out.numpy(), truth)
        points[passes] = CurvePoint(passes, error, relative_spread(of_left_out))
        rows = [asdict(points[key]) for key in sorted(points)]
        write_text(path, json.dumps(rows, indent=2) + "\n")

    run, training = out_dir / name, config.training(name)
    lengthen_run(run, training)
    if not (run / "result.json").exists():
        step = None if on_step is None else lambda *figures: on_step(name, *figures)
        train_encoder([known], training, run, step, measure)
    return [points[key] for key in sorted(points)]


def _check_continues(settings: Path, config: CurveConfig) -> None:
    """Refuse a folder whose variants are others, or have had more passes."""
    found, wanted = read_mapping(settings), config.model_dump(mode="json")
    allowed = "allowed: the same, with more passes or further variants; or use another folder"
    for key in ("left_out", "train"):
        if found.get(key) != wanted[key]:
            raise ConfigError(
                f"{settings}: {key} is {found.get(key)}, wanted {wanted[key]}; {allowed}"
            )
    for name, variant in dict(found.get("variants", {})).items():
        if wanted["variants"].get(name) != variant:
            raise ConfigError(
                f"{settings}: variants: {name} is {variant}, wanted "
                f"{wanted['variants'].get(name)}; {allowed}"
            )
    if max(found.get("passes", [0])) > wanted["passes"][-1]:
        raise ConfigError(
            f"{settings}: passes are {found['passes']}, wanted {wanted['passes']}; {allowed}"
        )


def _read_points(path: Path) -> dict[int, CurvePoint]:
    if not path.exists():
        return {}
    try:
        rows = [CurvePoint(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as cause:
        raise ConfigError(f"{path}: not the points of a learning curve") from cause
    return {row.passes: row for row in rows}


def _joined(common: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(common)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(joined.get(key), Mapping)
        joined[key] = _joined(joined[key], value) if both else value
    return joined
