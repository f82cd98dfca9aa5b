"""`vinn-doctor`: is everything there that a rollout needs? Moves nothing.

`vinn doctor` runs it where ROS 2 is.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Annotated

import rclpy
import typer
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from std_srvs.srv import Trigger
from vinn.cli.console import err
from vinn.cli.doctor import EXIT_FAILED, EXIT_OK, local_checks, show
from vinn.errors import RobotError, VinnError
from vinn.robot.checks.preflight import Check, Observations, Verdict, check_all
from vinn.robot.config import load_robot_config
from vinn.robot.types import ReasonCode
from vinn.rollout.config import load_rollout_config

import vinn_ros
from vinn_ros.bringup import graph
from vinn_ros.node.calls import call, checked
from vinn_ros.node.client_node import client_node
from vinn_ros.paths import config_directory, config_file
from vinn_ros.supervisor.preflight_probe import PreflightProbe

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_DEFAULTS = {
    "robot_config": "robot/stretch.yaml",
    "rollout_config": "robot/rollout.yaml",
    "recordings": "runs/rollouts",
}
_LISTEN_AT_LEAST_S = 1.0
"""Whatever the questions took: a rate needs some frames."""
_FOUND_WITHIN_S = 6.5
"""DDS finds another process at once or, where a message was missed, after a heartbeat (3 s)."""


@app.command()
def doctor(
    robot_config: Annotated[
        str, typer.Option(help="The executor's file: tool and limits are compared with it.")
    ] = "",
    rollout_config: Annotated[
        str, typer.Option(help="The supervisor's file: `preflight` says what is good enough.")
    ] = "",
    recordings: Annotated[str, typer.Option(help="Where recordings go.")] = "",
    policy: Annotated[
        Path | None, typer.Option(help="A policy artefact to check before any node loads it.")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the nodes.")] = "",
    listen_s: Annotated[
        float,
        typer.Option(
            "--listen", min=0.5, max=60.0, help="How long to listen, in seconds; more if need be."
        ),
    ] = 4.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check robot, camera, policy, clocks and disk of a running system; moves nothing.

    What is not given is asked of the running supervisor; without one it is that of the robot.

    Exit codes: 0 everything is well, 1 a check failed, 2 a configuration was refused.
    """
    try:
        given = {
            "robot_config": robot_config,
            "rollout_config": rollout_config,
            "recordings": recordings,
        }
        seen, settings, asked = _observe(namespace, given, listen_s)
        robot = load_robot_config(config_file(settings["robot_config"], "--robot-config"))
        config = load_rollout_config(
            config_file(settings["rollout_config"], "--rollout-config")
        ).preflight
        checks = (
            *local_checks(policy),
            *asked,
            *_files_in_use(settings),
            *_heard(seen, check_all(seen, config, robot)),
        )
    except VinnError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(
            json.dumps(
                [{**vars(c), "verdict": c.verdict.value, "reason": c.reason.value} for c in checks]
            )
        )
    else:
        show(checks)
    failed = any(check.verdict is Verdict.FAILED for check in checks)
    raise typer.Exit(EXIT_FAILED if failed else EXIT_OK)


def _files_in_use(settings: dict[str, str]) -> tuple[Check, ...]:
    """Which of several installations counts here: its code, its configuration, DDS's profile."""
    files = {
        "code": Path(vinn_ros.__file__).parent,
        "configuration": config_directory(),
        "robot file": config_file(settings["robot_config"], "--robot-config"),
        "rollout file": config_file(settings["rollout_config"], "--rollout-config"),
    }
    profile = Path(graph.dds_profile())
    found = profile.is_file()
    return (
        *(Check(name, Verdict.OK, str(path)) for name, path in files.items()),
        Check(
            "Fast DDS profile",
            Verdict.OK if found else Verdict.FAILED,
            # Fast DDS says nothing and goes on without: frames are then lost.
            str(profile) if found else f"{profile}: no such file",
            ReasonCode.NONE if found else ReasonCode.NOT_READY,
        ),
    )


def _heard(seen: Observations, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """A robot that says nothing at all is not there; silence of single topics stays unknown."""
    if seen.joint_states_age_s is not None:
        return checks
    found = Check(
        "robot",
        Verdict.FAILED,
        "nothing was heard on stretch/joint_states: is its driver running, in the same "
        f"ROS_DOMAIN_ID ({os.environ.get('ROS_DOMAIN_ID', '0')}) and namespace?",
        ReasonCode.STATE_STALE,
    )
    return (found, *checks)


def _observe(
    namespace: str, given: dict[str, str], listen_s: float
) -> tuple[Observations, dict[str, str], tuple[Check, ...]]:
    """Listen for a while; also the settings that count, and whose they are."""
    node = client_node("doctor", namespace)
    limits: Client = node.create_client(Trigger, "get_joint_states")
    parameters: Client = node.create_client(GetParameters, "rollout_supervisor/get_parameters")
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    spinner = threading.Thread(target=spin, name="spin", daemon=True)
    spinner.start()
    start_s = time.monotonic()
    try:
        with err.status(f"listening for {listen_s:g} s"):
            settings, asked = _settings(parameters, given)
            probe = PreflightProbe(node, Path(settings["recordings"]))
            probe.listen_to_streams()
            # Limits are sent only when asked for.
            with contextlib.suppress(RobotError):
                left_s = start_s + _FOUND_WITHIN_S - time.monotonic()
                checked(limits, Trigger.Request(), max(_LISTEN_AT_LEAST_S, left_s))
            time.sleep(max(_LISTEN_AT_LEAST_S, start_s + listen_s - time.monotonic()))
        return probe.observe(), settings, asked
    finally:
        executor.shutdown(timeout_sec=2.0)
        rclpy.try_shutdown()
        spinner.join(timeout=2.0)


def _settings(
    parameters: Client, given: dict[str, str]
) -> tuple[dict[str, str], tuple[Check, ...]]:
    """What was given, else what the running supervisor has, else the robot's; and which it was."""
    missing = [name for name, value in given.items() if not value]
    if not missing:
        return given, ()
    found = dict(_DEFAULTS)
    try:
        answer = call(parameters, GetParameters.Request(names=missing), _FOUND_WITHIN_S)
    except RobotError as error:
        asked = _unanswered(error, there=parameters.service_is_ready())
    else:
        found |= {
            name: value.string_value
            for name, value in zip(missing, answer.values, strict=False)
            if value.string_value
        }
        asked = Check("supervisor", Verdict.OK, f"its settings count: {', '.join(missing)}")
    return found | {name: value for name, value in given.items() if value}, (asked,)


def _unanswered(error: RobotError, there: bool) -> Check:
    """Without a supervisor the robot's files count; those of one that is silent nobody knows."""
    if there:
        return Check("supervisor", Verdict.FAILED, str(error), ReasonCode.NOT_READY)
    return Check("supervisor", Verdict.UNKNOWN, f"{error}: the robot's files count")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
