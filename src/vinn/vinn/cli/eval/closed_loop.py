"""`vinn eval closed-loop`: trials in simulation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vinn import __version__
from vinn.cli.console import err, out
from vinn.errors import ConfigError
from vinn.evaluation.success import SuccessRate, share_at_first
from vinn.evaluation.trials import (
    Failure,
    StopAt,
    TrialResult,
    as_json,
    run_trials,
    success_by_cabinet,
)
from vinn.policies.artefacts.opening import PolicyArtefact, open_artefact
from vinn.robot.config import load_robot_config
from vinn.rollout.config import load_rollout_config
from vinn.sim.cabinets import CABINETS, cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.viz.output import write_text


def closed_loop(
    policy: Annotated[Path, typer.Option(help="Policy artefact.")],
    cabinets: Annotated[
        str, typer.Option(help="Names or sampled-SEED, separated by commas.")
    ] = ",".join(CABINETS),
    trials: Annotated[int, typer.Option(help="Per cabinet.")] = 10,
    difficulty: Annotated[str, typer.Option(help="easy or hard.")] = "easy",
    occlusion: Annotated[Occlusion, typer.Option(help="What is covered.")] = Occlusion.NONE,
    seed: Annotated[int, typer.Option(min=0, help="Of starts, appearances and noise.")] = 0,
    stop_at: Annotated[
        StopAt, typer.Option(help="How far the door must be open for a trial to end.")
    ] = StopAt.FULLY_OPENED,
    k: Annotated[int | None, typer.Option(help="Neighbours; overrides the artefact.")] = None,
    bandwidth: Annotated[
        float | None, typer.Option(help="Of the kernel; overrides the artefact.")
    ] = None,
    robot: Annotated[Path | None, typer.Option(help="Robot configuration (YAML).")] = None,
    rollout: Annotated[Path | None, typer.Option(help="Rollout configuration (YAML).")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the encoder.")] = 1,
) -> None:
    """Run closed-loop trials in simulation and print success rates with intervals."""
    scenes = [
        SceneConfig(
            cabinet=cabinet_named(name.strip()),
            difficulty=difficulty_named(difficulty),
            occlusion=occlusion,
        )
        for name in cabinets.split(",")
    ]
    if out_file is not None and not out_file.resolve().parent.is_dir():
        raise ConfigError(f"--out {out_file}: its folder does not exist")
    artefact = open_artefact(policy)
    results: list[TrialResult] = []
    with _progress() as progress:
        task = progress.add_task("trials", total=len(scenes) * trials, opened="")

        def on_trial(result: TrialResult) -> None:
            results.append(result)
            opened = sum(each.opened for each in results)
            progress.update(task, advance=1, opened=f"opened {opened} of {len(results)}")

        run_trials(
            artefact.policy(threads, k, bandwidth),
            scenes,
            trials,
            seed,
            rollout=load_rollout_config(rollout) if rollout else None,
            robot=load_robot_config(robot) if robot else None,
            stop_at=stop_at,
            on_trial=on_trial,
        )
    out.print(
        _table(results, f"{artefact.manifest.name}, {difficulty}, occlusion {occlusion.value}")
    )
    failures = Counter(r.failure.value for r in results if r.failure is not Failure.NONE)
    if failures:
        out.print("not opened: " + ", ".join(f"{n} {name}" for name, n in failures.most_common()))
    if out_file is not None:
        settings = {
            "difficulty": difficulty,
            "occlusion": occlusion.value,
            "seed": seed,
            "stop_at": stop_at.value,
            "k": k,
            "bandwidth": bandwidth,
        }
        _write(out_file, artefact, settings, results)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[opened]}"),
        TimeElapsedColumn(),
        console=err,
    )


def _table(results: Sequence[TrialResult], title: str) -> Table:
    table = Table(title=title)
    table.add_column("cabinet")
    for heading in ("grasped", "opened [95 %]", "at first attempt", "fully opened", "steps"):
        table.add_column(heading, justify="right")
    rates = success_by_cabinet(results)
    for name, rate in rates.items():
        table.add_row(name, *_cells([r for r in results if r.cabinet == name], rate))
    if len(rates) > 1:
        table.add_section()
        table.add_row("all", *_cells(results, SuccessRate.of(r.opened for r in results)))
    return table


def _cells(results: Sequence[TrialResult], rate: SuccessRate) -> tuple[str, ...]:
    steps = sum(result.steps for result in results) / len(results)
    return (
        str(sum(result.grasped for result in results)),
        str(rate),
        share_at_first(result.first_attempt for result in results),
        str(sum(result.fully_opened for result in results)),
        f"{steps:.1f}",
    )


def _write(
    path: Path,
    artefact: PolicyArtefact,
    settings: Mapping[str, object],
    results: Sequence[TrialResult],
) -> None:
    manifest = artefact.manifest
    content = {
        "version": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "policy": {
            "name": manifest.name,
            "kind": manifest.kind.value,
            "dataset_hash": manifest.dataset_hash,
            "k": manifest.vinn.k if manifest.vinn else None,
            "bandwidth": manifest.vinn.bandwidth if manifest.vinn else None,
            "encoder_hash": manifest.vinn.encoder_hash if manifest.vinn else None,
        },
        "settings": settings,
        "opened": asdict(SuccessRate.of(result.opened for result in results)),
        "first_attempt": asdict(SuccessRate.of(bool(r.first_attempt) for r in results)),
        "by_cabinet": {name: asdict(rate) for name, rate in success_by_cabinet(results).items()},
        "failures": dict(Counter(result.failure.value for result in results)),
        "trials": [as_json(result) for result in results],
    }
    write_text(path, json.dumps(content, indent=2) + "\n")
