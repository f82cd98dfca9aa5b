"""`vinn doctor`: is everything there that a rollout needs?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

import typer
from rich.table import Table

from vinn.cli.console import err, out
from vinn.errors import VinnError
from vinn.ingest.frame_source import cameras
from vinn.policies.artefact import open_artefact
from vinn.robot.checks.preflight import Check, Verdict
from vinn.robot.types import ReasonCode

app = typer.Typer(no_args_is_help=False)

EXIT_OK, EXIT_FAILED = 0, 1
_PROBE = "vinn-doctor"
_PYTHONS = ((3, 10), (3, 12))
_MARKS = {
    Verdict.OK: "[green]ok[/]",
    Verdict.UNKNOWN: "[yellow]unknown[/]",
    Verdict.FAILED: "[red]FAILED[/]",
}


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def doctor(context: typer.Context) -> None:
    """Check robot, camera, policy, clocks and disk; see `vinn-doctor --help` for the options."""
    beside = Path(sys.executable).with_name(_PROBE)
    probe = str(beside) if beside.is_file() else shutil.which(_PROBE)
    if probe is not None:
        os.execv(probe, [probe, *context.args])
    err.print(
        "vinn_ros is not installed: only this machine is checked, no robot and no nodes",
        highlight=False,
    )
    checks = local_checks(_policy_option(context.args))
    show(checks)
    failed = any(check.verdict is Verdict.FAILED for check in checks)
    raise typer.Exit(EXIT_FAILED if failed else EXIT_OK)


def local_checks(policy: Path | None) -> tuple[Check, ...]:
    """What can be seen without ROS: the interpreter, cameras, and a policy artefact.

    Args:
        policy: an artefact that is opened and verified; None: not looked at.
    """
    checks = [_python(), _cameras()]
    if policy is not None:
        checks.append(_artefact(policy))
    return tuple(checks)


def show(checks: tuple[Check, ...]) -> None:
    """Print one line for each check."""
    table = Table("check", "", "seen")
    for check in checks:
        reason = f"{check.reason.value}: " if check.reason is not ReasonCode.NONE else ""
        table.add_row(check.name, _MARKS[check.verdict], f"{reason}{check.message}")
    out.print(table)


def _python() -> Check:
    lowest, highest = _PYTHONS
    version = platform.python_version()
    if lowest <= sys.version_info[:2] <= highest:
        return Check("Python", Verdict.OK, version)
    allowed = " to ".join(".".join(map(str, v)) for v in _PYTHONS)
    return Check("Python", Verdict.UNKNOWN, f"{version}; tested: {allowed}")


def _cameras() -> Check:
    found = cameras()
    if found:
        return Check("cameras here", Verdict.OK, ", ".join(found))
    return Check("cameras here", Verdict.UNKNOWN, "none under /dev/v4l/by-id")


def _artefact(directory: Path) -> Check:
    try:
        manifest = open_artefact(directory).manifest
    except VinnError as error:
        return Check("artefact", Verdict.FAILED, str(error), ReasonCode.POLICY_LOST)
    return Check("artefact", Verdict.OK, f"{manifest.name}: {directory}")


def _policy_option(arguments: list[str]) -> Path | None:
    for position, word in enumerate(arguments):
        if word.startswith("--policy="):
            return Path(word.partition("=")[2])
        if word == "--policy" and position + 1 < len(arguments):
            return Path(arguments[position + 1])
    return None
