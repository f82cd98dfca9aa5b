"""`vinn-bringup`: the whole graph without `ros2 launch`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from vinn.errors import VinnError

from vinn_ros.bringup import graph
from vinn_ros.bringup.graph import NodeSpec
from vinn_ros.bringup.processes import BringUp, BringUpError
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.main import EXIT_BUG, EXIT_OK, EXIT_REFUSED, spin
from vinn_ros.node.signals import StopSignals

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Robot = Enum("Robot", {name: name for name in graph.ROBOTS}, type=str)  # type: ignore[misc]


@app.command()
def bring_up(
    robot: Annotated[Robot, typer.Option(help="sim: MuJoCo; real: a Stretch.")] = Robot["sim"],
    policy: Annotated[
        str, typer.Option(help="Policy artefact to load; none: load one later.")
    ] = "",
    config: Annotated[
        list[Path] | None,
        typer.Option(help="Parameter file read after the package's own; may be repeated."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NODE.PARAMETER=VALUE; may be repeated.", metavar="SETTING"),
    ] = None,
    camera: Annotated[
        str,
        typer.Option(
            help="Wrist camera (robot real): /dev/v4l/by-id/..., or topic:/NAME of another node."
        ),
    ] = "",
    recordings: Annotated[str, typer.Option(help="Directory for recordings.")] = "",
    console: Annotated[
        bool, typer.Option("--console", help="Also the operator's web page.")
    ] = False,
    views: Annotated[
        bool, typer.Option("--views", help="Also markers and transforms for RViz and Foxglove.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="Namespace of all nodes.")] = "",
    single_process: Annotated[
        bool, typer.Option("--single-process", help="All nodes in this process.")
    ] = False,
    logs: Annotated[
        Path | None, typer.Option(help="Directory for one log file per node (processes only).")
    ] = None,
    timeout_s: Annotated[
        float, typer.Option(min=1.0, help="How long the nodes may take to become active.")
    ] = 60.0,
) -> None:
    """Start all nodes, wait until they are active, run until Ctrl-C, stop them in order.

    Exit codes: 0 stopped on request, 1 a node failed, 2 a configuration was refused.
    """
    try:
        specs = graph.door_opening(
            robot.value,
            policy,
            namespace=namespace,
            parameter_files=config or (),
            camera=camera,
            recordings=recordings,
            console=console,
            views=views,
        )
        specs = graph.with_settings(specs, settings or ())
        env = graph.environment(robot.value)
    except VinnError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_REFUSED) from error
    if single_process:
        raise typer.Exit(_one_process(specs, env))
    raise typer.Exit(_processes(specs, env, logs, timeout_s))


def _processes(
    specs: Sequence[NodeSpec], env: dict[str, str], logs: Path | None, timeout_s: float
) -> int:
    """One process per node."""
    width = max(len(spec.name) for spec in specs)

    def echo(name: str, line: str) -> None:
        print(f"[{name:<{width}}] {line}", flush=True)

    try:
        with StopSignals() as signals, BringUp(specs, env, echo, logs) as nodes:
            if nodes.wait_active(timeout_s, should_stop=lambda: signals.wait(0.0)):
                echo("bringup", f"active: {', '.join(spec.full_name for spec in specs)}")
                while not signals.wait(0.5):
                    nodes.check()
                echo("bringup", "stopping")
            unclean = {name: code for name, code in nodes.stop().items() if code != EXIT_OK}
    except BringUpError as error:
        print(f"bringup: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    for name, code in unclean.items():
        print(f"bringup: {name}: ended with exit code {code}", file=sys.stderr, flush=True)
    return EXIT_BUG if unclean else EXIT_OK


def _one_process(specs: Sequence[NodeSpec], env: dict[str, str]) -> int:
    """All nodes in this process."""
    os.environ.update(env)

    def factory(spec: NodeSpec) -> VinnNode:
        node: VinnNode = importlib.import_module(spec.module).NODE(spec.ros_arguments())
        return node

    return spin([partial(factory, spec) for spec in specs])


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
