"""`vinn eval closed-loop`: trials in simulation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vinn import __version__
from vinn.cli.console import err, out
from vinn.errors import ConfigError
from vinn.evaluation.door_trials import door_trials
from vinn.evaluation.policy_source import PolicySource
from vinn.evaluation.recorded_trials import recordings_folder
from vinn.evaluation.statistics import SuccessRate, share_at_first
from vinn.evaluation.trial_pool import Job, TrialPool
from vinn.evaluation.trials import Failure, StopAt, TrialResult, as_json, success_by_cabinet
from vinn.paper.tasks.trials import ROLLOUT, TRIAL_IMAGE_PX, SceneTrial, task_rates, task_trials
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.robot.config import load_robot_config
from vinn.rollout.config import load_rollout_config
from vinn.sim.cabinets import CABINETS, cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.tasks.registry import task_named, task_settings
from vinn.viz.output import write_text

ResultT = TypeVar("ResultT")

Processes = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trials at a time, each in a process; one for each processor by default."
    ),
]
DOOR = "door"
"""The task whose trials have cabinets, difficulties and occlusions."""


def closed_loop(
    policy: Annotated[Path, typer.Option(help="Policy artefact.")],
    task: Annotated[str, typer.Option(help="A name from `vinn tasks list`.")] = DOOR,
    cabinets: Annotated[
        str | None,
        typer.Option(help="Names or sampled-SEED, separated by commas; all by default (door)."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Per cabinet, or of another task.")] = 10,
    difficulty: Annotated[
        str | None, typer.Option(help="easy, hard or paper; easy by default (door).")
    ] = None,
    occlusion: Annotated[
        Occlusion | None, typer.Option(help="What is covered; nothing by default (door).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of starts, appearances and noise.")] = 0,
    stop_at: Annotated[
        StopAt | None,
        typer.Option(
            help="How far the door must be open for a trial to end; fully_opened by default (door)."
        ),
    ] = None,
    k: Annotated[int | None, typer.Option(help="Neighbours; overrides the artefact.")] = None,
    bandwidth: Annotated[
        float | None, typer.Option(help="Of the kernel; overrides the artefact.")
    ] = None,
    robot: Annotated[Path | None, typer.Option(help="Robot configuration (YAML).")] = None,
    rollout: Annotated[Path | None, typer.Option(help="Rollout configuration (YAML).")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="New folder for a recording of each trial, for `vinn report`."),
    ] = None,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="YAML file that the task was recorded with (`vinn tasks record --config`).",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the encoder.")] = 1,
    processes: Processes = None,
) -> None:
    """Run closed-loop trials in simulation and print success rates with intervals."""
    if out_file is not None and not out_file.resolve().parent.is_dir():
        raise ConfigError(f"--out {out_file}: its folder does not exist")
    artefact = open_artefact(policy)
    source = PolicySource(policy, threads, k, bandwidth)
    limits = load_rollout_config(rollout) if rollout else None
    config = load_robot_config(robot) if robot else None
    said = {"seed": seed, "k": k, "bandwidth": bandwidth}
    if task != DOOR:
        of_doors = {
            "--cabinets": cabinets,
            "--difficulty": difficulty,
            "--occlusion": occlusion,
            "--stop-at": stop_at,
        }
        for option, value in of_doors.items():
            if value is not None:
                raise ConfigError(f"{option}: is of --task {DOOR}; --task {task} has none")
        shown = task_settings(task, settings_file)
        if settings_file is None:
            shown = shown.model_copy(update={"image_px": TRIAL_IMAGE_PX})
        jobs = task_trials(source, task, shown, trials, seed, limits or ROLLOUT, config, recordings)
        if recordings is not None:
            recordings_folder(recordings)
        _of_task(artefact, task, jobs, processes, out_file, said)
        return
    if settings_file is not None:
        raise ConfigError(f"--settings: is of other tasks; --task {DOOR} has --difficulty")
    difficulty, occlusion = difficulty or "easy", occlusion or Occlusion.NONE
    stop_at = stop_at or StopAt.FULLY_OPENED
    scenes = [
        SceneConfig(
            cabinet=cabinet_named(name.strip()),
            difficulty=difficulty_named(difficulty),
            occlusion=occlusion,
        )
        for name in (cabinets or ",".join(CABINETS)).split(",")
    ]
    doors = door_trials(source, scenes, trials, seed, limits, config, stop_at, recordings)
    if recordings is not None:
        recordings_folder(recordings)
    results = _done(doors, processes, "opened", lambda result: result.opened)
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
            "stop_at": stop_at.value,
            **said,
        }
        _write(
            out_file,
            artefact,
            settings,
            {
                "opened": asdict(SuccessRate.of(result.opened for result in results)),
                "first_attempt": asdict(SuccessRate.of(bool(r.first_attempt) for r in results)),
                "by_cabinet": {
                    name: asdict(rate) for name, rate in success_by_cabinet(results).items()
                },
                "failures": dict(Counter(result.failure.value for result in results)),
                "trials": [as_json(result) for result in results],
            },
        )


def _of_task(
    artefact: PolicyArtefact,
    name: str,
    jobs: Sequence[SceneTrial],
    processes: int | None,
    out_file: Path | None,
    said: Mapping[str, object],
) -> None:
    """Trials of a task other than the door."""
    results = _done(jobs, processes, "done", lambda result: result.success)
    done, first = task_rates(results)
    reasons = Counter(result.reason.value for result in results)
    table = Table(title=f"{artefact.manifest.name}, {task_named(name).title}")
    for heading in ("task", "done [95 %]", "at first attempt [95 %]", "steps"):
        table.add_column(heading)
    steps = sum(result.steps for result in results) / len(results)
    table.add_row(name, str(done), str(first), f"{steps:.1f}")
    out.print(table)
    out.print("ended by: " + ", ".join(f"{reason} {n}" for reason, n in reasons.most_common()))
    if out_file is not None:
        _write(
            out_file,
            artefact,
            {"task": name, "recorded_with": jobs[0].settings.model_dump(), **said},
            {
                "done": asdict(done),
                "first_attempt": asdict(first),
                "reasons": dict(reasons),
                "trials": [result.as_json() for result in results],
            },
        )


def _done(
    jobs: Sequence[Job[ResultT]],
    processes: int | None,
    verb: str,
    success: Callable[[ResultT], bool],
) -> list[ResultT]:
    """The results of all trials, with a bar that counts successes."""
    results: list[ResultT] = []
    with TrialPool(processes) as pool, _progress() as progress:
        bar = progress.add_task("trials", total=len(jobs), counted="")
        for result in pool.run(jobs):
            results.append(result)
            counted = f"{verb} {sum(map(success, results))} of {len(results)}"
            progress.update(bar, advance=1, counted=counted)
    return results


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counted]}"),
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
    results: Mapping[str, object],
) -> None:
    manifest = artefact.manifest
    chosen = manifest.vinn or {}
    content = {
        "version": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "policy": {
            "name": manifest.name,
            "kind": manifest.kind,
            "dataset_hash": manifest.dataset_hash,
            "k": chosen.get("k"),
            "bandwidth": chosen.get("bandwidth"),
            "encoder_hash": chosen.get("encoder_hash"),
        },
        "settings": settings,
        **results,
    }
    write_text(path, json.dumps(content, indent=2) + "\n")
