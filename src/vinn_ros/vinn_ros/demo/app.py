"""`vinn-demo`: record, build, open doors with separate node processes, and report.

Every number comes from what the nodes recorded; the demo itself only calls their services, as an
operator would.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from vinn.errors import ConfigError, VinnError
from vinn.sim.difficulty import difficulty_named

from vinn_ros.demo.display import DemoDisplay
from vinn_ros.demo.phases import PHASES, Demo, DemoFailed, Settings
from vinn_ros.node.main import EXIT_REFUSED

EXIT_INTERRUPTED = 130
MARKER = ".vinn-demo"
"""Says that a folder was made by a demo, and may be replaced by the next one."""


def command_line(name: str) -> str:
    """How the user in front of this terminal calls a command that is installed beside Python."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) or not beside.exists():
        return name
    return os.path.relpath(beside)


def prepare_folder(out: Path, keep: bool) -> None:
    """Make the demo's folder, or clear what an earlier demo left in it.

    Args:
        out: the folder.
        keep: demonstrations and encoder of an earlier demo stay.

    Raises:
        ConfigError: it holds something that no demo made, or cannot be written.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise ConfigError(f"--out {out}: holds something that no demo made; choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for entry in out.iterdir():
            if keep and entry.name in ("demos", "encoder"):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        (out / MARKER).touch()
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error.strerror}") from error


def said(summary: Mapping[str, Any]) -> list[str]:
    """What `summary.json` says of the doors, a line for each policy and difficulty."""
    lines = []
    for group in summary["groups"]:
        opened, first = group["opened"], group["first_attempt"]
        line = (
            f"{group['policy']}, {group['condition']}: opened {opened['successes']} of "
            f"{opened['trials']} doors"
        )
        if first is not None:
            line += f", {first['successes']} at the first attempt"
        lines.append(line)
    return lines


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path(
        "runs/demo"
    ),
    demos_per_cabinet: Annotated[
        int, typer.Option(min=2, max=1000, help="Expert demonstrations per cabinet.")
    ] = 15,
    trials: Annotated[int, typer.Option(min=1, help="Rollouts per cabinet and difficulty.")] = 5,
    control_trials: Annotated[
        int,
        typer.Option(
            min=0, help="Rollouts of the open-loop control, over all cabinets and difficulties."
        ),
    ] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of demonstrations and rollouts.")] = 0,
    difficulty: Annotated[
        str,
        typer.Option(help="easy, hard, or both with a comma. The last one named is demonstrated."),
    ] = "easy,hard",
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep demonstrations and encoder of an earlier demo.")
    ] = False,
    results: Annotated[
        Path | None, typer.Option(help="Folder for the results file foundation.json.")
    ] = None,
) -> None:
    """Record demonstrations, build a policy, open doors in simulation, write a report.

    Exit codes: 0 ran through, 1 a phase failed, 2 bad input, 130 interrupted.
    """
    difficulties = tuple(name.strip() for name in difficulty.split(","))
    settings = Settings(
        out, demos_per_cabinet, trials, control_trials, seed, difficulties, keep, results
    )
    try:
        for name in difficulties:
            difficulty_named(name)
        if len(set(difficulties)) != len(difficulties):
            raise ConfigError(f"--difficulty {difficulty}: allowed: each name once")
        prepare_folder(out, keep)
        with DemoDisplay(PHASES) as display:
            summary = Demo(settings, display).run()
    except DemoFailed as error:
        print(f"vinn-demo: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error
    except VinnError as error:
        print(f"vinn-demo: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED) from error
    except KeyboardInterrupt as error:
        print("vinn-demo: interrupted", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error
    for line in said(summary):
        print(line)
    print(f"report: {out / 'report.html'}")
    bring_up = f"{command_line('vinn-bringup')} --policy {out / 'policy'} --console"
    print(f"drive it from a web page: {bring_up}   then http://127.0.0.1:8765/")


def main() -> None:
    """Entry point."""
    # Whoever ends the demo politely gets the same clean end as from Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
