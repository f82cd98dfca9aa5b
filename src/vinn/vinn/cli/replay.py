"""`vinn replay`: a recorded rollout seen again by a policy, offline."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vinn.cli.console import note, out, progress_bar
from vinn.encoders.encoder import Encoder, load_encoder
from vinn.errors import ConfigError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.policies.kinds.nearest import NearestArtefact
from vinn.recordings.replay import Replay, ReplaySummary, replay_recording, replay_rows
from vinn.recordings.replay_report import build_replay_report
from vinn.recordings.rollout_pages import recorded_policy
from vinn.rollout.reader import summarize_recording
from vinn.viz.output import write_text

app = typer.Typer(no_args_is_help=True)

_PLAYER = "bag_player"
_MOST_STREAMS = 8


@app.command()
def replay(
    bag: Annotated[
        Path, typer.Argument(metavar="BAG", help="Recorded rollout: MCAP or rosbag2 directory.")
    ],
    policy: Annotated[
        Path | None, typer.Option(help="Policy artefact; by default the one that was recorded.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="A second artefact to compare.")] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="HTML page or JSON file to write (by its ending).")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Images embedded at a time; by default all cores.")
    ] = None,
    ros: Annotated[
        bool, typer.Option("--ros", help="Publish the recording to running nodes instead.")
    ] = False,
    rate: Annotated[float, typer.Option(help="Speed (with --ros).")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again (with --ros).")] = False,
    paused: Annotated[
        bool, typer.Option("--paused", help="Wait for bag_player/step (with --ros).")
    ] = False,
    namespace: Annotated[
        str, typer.Option(help="Of the nodes that are to hear it (with --ros).")
    ] = "",
) -> None:
    """Predict for every recorded image again, and compare with what was predicted."""
    if ros:
        _play(bag, rate, loop, paused, namespace)
        return
    if out_file is not None and out_file.suffix not in (".html", ".json"):
        raise ConfigError(f"--out: {out_file}; allowed: a name that ends in .html or .json")
    replays: dict[str, Replay] = {}
    for directory in filter(None, (policy or _recorded_policy(bag), against)):
        artefact = open_artefact(directory)
        name = artefact.manifest.name
        name = f"{name} ({directory})" if name in replays else name
        with progress_bar(name) as progress:
            replays[name] = replay_recording(
                bag, artefact.policy(), progress, _encoder(artefact, threads)
            )
    for jump in next(iter(replays.values())).timeline.jumps:
        note(f"{bag}: {jump}")
    _show({name: each.summary() for name, each in replays.items()})
    if out_file is None:
        return
    if out_file.suffix == ".html":
        build_replay_report(replays).write(out_file)
    else:
        content = {
            "recording": str(bag),
            "policies": {
                name: {"summary": each.summary().as_json(), "predictions": replay_rows(each)}
                for name, each in replays.items()
            },
        }
        write_text(out_file, json.dumps(content, indent=2) + "\n")
    out.print(str(out_file), highlight=False)


def _encoder(artefact: PolicyArtefact, streams: int | None) -> Encoder | None:
    """The policy's encoder with several images in work. One thread each: what it says is what the
    robot was told, and two streams are faster than two threads."""
    if not isinstance(artefact, NearestArtefact):
        return None
    count = streams or min(os.cpu_count() or 1, _MOST_STREAMS)
    return load_encoder(artefact.directory / "encoder", streams=count)


def _recorded_policy(bag: Path) -> Path:
    """The artefact that the recording names."""
    found = recorded_policy(summarize_recording(bag))
    if found is None:
        raise ConfigError(
            f"--policy: {bag} names no policy artefact that is still there; give its directory"
        )
    return found


def _show(summaries: dict[str, ReplaySummary]) -> None:
    table = Table("", *summaries)
    every = list(summaries.values())

    def add(what: str, values: list[float], form: str) -> None:
        table.add_row(what, *(format(v, form) if math.isfinite(v) else "-" for v in values))

    table.add_row("same actions", *(f"{s.same_actions} of {s.predictions}" for s in every))
    add("largest action difference", [s.max_action_difference for s in every], ".3g")
    add("angle, median [deg]", [math.degrees(s.angle_median_rad) for s in every], ".2f")
    add("angle, largest [deg]", [math.degrees(s.angle_max_rad) for s in every], ".2f")
    add("length, median difference", [s.length_difference_median for s in every], ".3g")
    add("gripper, largest difference", [s.gripper_difference_max for s in every], ".3g")
    add("neighbours changed, mean", [s.neighbors_changed_mean for s in every], ".2f")
    add("novelty, largest difference", [s.novelty_difference_max for s in every], ".3g")
    table.add_row("without recorded image", *(str(s.without_image) for s in every))
    add("times real time", [s.speed for s in every], ".1f")
    out.print(table)


def _play(bag: Path, rate: float, loop: bool, paused: bool, namespace: str) -> None:
    """Become the `bag_player` node, which publishes the recording."""
    beside = Path(sys.executable).with_name(_PLAYER)
    player = str(beside) if beside.is_file() else shutil.which(_PLAYER)
    if player is None:
        raise ConfigError("--ros: bag_player is not installed (package vinn_ros)")
    settings = {
        "bag": str(bag.resolve()),
        "rate": repr(float(rate)),
        "loop": str(loop).lower(),
        "paused": str(paused).lower(),
    }
    arguments = [item for name, value in settings.items() for item in ("-p", f"{name}:={value}")]
    if namespace.strip("/"):
        arguments += ["-r", f"__ns:=/{namespace.strip('/')}"]
    os.execv(player, [player, "--ros-args", *arguments])
