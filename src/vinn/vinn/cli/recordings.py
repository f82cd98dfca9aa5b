"""`vinn recordings`: what recordings hold, and the repair of those that were cut off."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vinn.cli.console import note, out
from vinn.rollout.label import read_label
from vinn.rollout.reader import summarize_recording
from vinn.rollout.recordings import NoRecordingsError, find_recordings
from vinn.rollout.repair import repair_recording

app = typer.Typer(no_args_is_help=True)

Recordings = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORDING...", help="MCAP or sqlite3 files, rosbag2 directories, or folders."
    ),
]


@app.command()
def info(
    recordings: Recordings,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    topics: Annotated[bool, typer.Option(help="Messages by topic.")] = False,
) -> None:
    """List recordings: when, how long, how they ended, what the operator said."""
    try:
        rows = [_describe(path) for path in find_recordings(recordings)]
    except NoRecordingsError as none:
        # Before the first rollout that is no error; programs get an empty list.
        rows = []
        note(str(none))
        if not as_json:
            return
    if as_json:
        out.print_json(json.dumps(rows))
        return
    table = Table("recording", "name", "length", "messages", "ended by", "label", "note")
    for row in rows:
        label = row["label"] or {}
        table.add_row(
            Path(row["path"]).name,
            row["info"].get("name", ""),
            f"{row['duration_s']:.1f} s",
            str(sum(row["message_counts"].values())),
            row["ended_by"],
            {True: "success", False: "failure", None: ""}[label.get("success")],
            label.get("note", ""),
        )
        if topics:
            for topic, count in sorted(row["message_counts"].items()):
                table.add_row("", topic, "", str(count), "", "", "")
    out.print(table)
    for row in rows:
        if row["clock"]:
            note(f"{row['path']}: {row['clock']}")


@app.command()
def repair(
    recordings: Recordings,
    keep: Annotated[bool, typer.Option(help="Keep the file that was cut off.")] = False,
) -> None:
    """Index recordings that were cut off, so that every reader takes them.

    They stay marked as incomplete. A directory of `ros2 bag record` gets the `metadata.yaml` that a
    killed recorder could not write.
    """
    for path in find_recordings(recordings):
        done = repair_recording(path, keep)
        what = "whole already" if done.already_whole else "repaired"
        out.print(f"{done.path}: {what}, {done.messages} messages", highlight=False, soft_wrap=True)


def _describe(path: Path) -> dict[str, Any]:
    summary = summarize_recording(path)
    label = read_label(path)
    return {
        "path": str(path),
        "info": summary.info,
        "outcome": summary.outcome,
        "ended_by": summary.ended_by,
        "label": asdict(label) if label else None,
        "start_ns": summary.start_ns,
        "duration_s": summary.duration_s,
        "message_counts": summary.message_counts,
        "parameters": summary.parameters,
        "clock": summary.clock_problem,
    }
