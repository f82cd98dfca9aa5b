"""`vinn-operator`: what an operator asks of a running system, without the `ros2` command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger
from vinn.errors import RobotError, VinnError

from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import LabelRollout, LoadPolicy, StartRollout
from vinn_ros import drive_command
from vinn_ros.node.calls import call
from vinn_ros.node.client_node import client_node
from vinn_ros.node.spinning import spun
from vinn_ros.status_follower import StatusFollower
from vinn_ros.status_line import describe

_SERVICE_TIMEOUT_S = 10.0
EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_NO_ANSWER, EXIT_NOT_OPENED = range(5)
EXIT_INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Reset, start, stop and label rollouts. Exit codes: 0 done, 1 refused, 2 wrong usage, "
    "3 no answer, 4 the awaited rollout did not succeed, 130 Ctrl-C.",
)
_STOPS = ("supervisor/stop_rollout", "executor/stop")
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="For an answer, in seconds.")]


@app.callback()
def options(
    context: typer.Context,
    namespace: Annotated[str, typer.Option(help="Namespace of the nodes.")] = "",
) -> None:
    """Options of every command."""
    context.obj = namespace


@app.command()
def reset(context: typer.Context, timeout: Timeout = 900.0) -> None:
    """Bring scene and robot to the start; says what is being done and waits until it is.

    Ctrl-C ends the reset and all motion.
    """
    with _operator(context.obj) as node:
        client: Client = node.create_client(Trigger, "supervisor/reset")
        if not client.wait_for_service(_SERVICE_TIMEOUT_S):
            _fail(f"supervisor/reset: not there within {_SERVICE_TIMEOUT_S:g} s", EXIT_NO_ANSWER)
        follower = StatusFollower(node, _tell_progress())
        try:
            with _stop_on_interrupt(node):
                answer = call(client, Trigger.Request(), timeout)
        except RobotError as error:
            _fail(str(error), EXIT_NO_ANSWER)
        follower.mute()
        _report(answer)


def _tell_progress() -> Callable[[RolloutStatus], None]:
    """Each new message of a reset, on stderr."""
    told = ""

    def tell(status: RolloutStatus) -> None:
        nonlocal told
        if status.state == RolloutStatus.RESETTING and status.message not in ("", told):
            told = status.message
            print(told, file=sys.stderr, flush=True)

    return tell


@app.command()
def start(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Kept with the recording.")] = "",
    max_steps: Annotated[int, typer.Option(min=0, help="0: the configured limit.")] = 0,
    attempts: Annotated[
        int,
        typer.Option(
            min=0, max=1000, help="Closings on nothing allowed; 1: no second try; 0: as configured."
        ),
    ] = 0,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until the rollout has ended; Ctrl-C ends it."),
    ] = False,
    timeout: Timeout = 10.0,
) -> None:
    """Start a rollout."""
    request = StartRollout.Request(name=name, max_steps=max_steps, attempts=attempts)
    with _operator(context.obj) as node:
        ended = StatusFollower(node) if wait else None
        answer = _call(node, StartRollout, "supervisor/start_rollout", request, timeout)
        if not answer.accepted:
            _fail(f"{answer.reason}: {answer.message}", EXIT_REFUSED)
        print(answer.session)
        if ended is not None:
            with _stop_on_interrupt(node):
                try:
                    status = ended.wait_for_end(answer.session)
                except RobotError as error:
                    _fail(str(error), EXIT_NO_ANSWER)
            print(describe(status))
            raise typer.Exit(
                EXIT_OK if status.outcome == RolloutStatus.SUCCESS else EXIT_NOT_OPENED
            )


@app.command()
def drive(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Kept with the recording.")] = "",
    step: Annotated[
        float,
        typer.Option(
            min=drive_command.SMALLEST_M, max=drive_command.LARGEST_M, help="Of a press, in metres."
        ),
    ] = 0.02,
    gamepad: Annotated[
        Path | None, typer.Option(help="A gamepad instead of the keyboard, e.g. /dev/input/js0.")
    ] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Control of the rollout that runs.")
    ] = False,
    max_steps: Annotated[int, typer.Option(min=1, help="Of a rollout by hand.")] = 500,
    timeout: Timeout = 10.0,
) -> None:
    """Drive a rollout by hand; a reset comes before. Ctrl-C ends it and all motion."""
    pressing = drive_command.gamepad(gamepad) if gamepad else drive_command.keyboard()
    with _operator(context.obj) as node, pressing as pressed:
        follower = StatusFollower(node)
        status = follower.next(timeout)
        if status is None:
            _fail(f"supervisor/status: nothing received in {timeout:g} s", EXIT_NO_ANSWER)
        session = status.session
        if take_over:
            request = SetBool.Request(data=True)
            _report(_call(node, SetBool, "supervisor/take_over", request, timeout))
        else:
            start = StartRollout.Request(name=name, max_steps=max_steps, driven=True)
            answer = _call(node, StartRollout, "supervisor/start_rollout", start, timeout)
            if not answer.accepted:
                _fail(f"{answer.reason}: {answer.message}", EXIT_REFUSED)
            session = answer.session
        hand = drive_command.Drive(node, follower.newest, step)
        with _stop_on_interrupt(node):
            print(describe(drive_command.drive(pressed, hand, follower.newest, session, print)))


@app.command()
def stop(context: typer.Context, timeout: Timeout = 5.0) -> None:
    """End the rollout or reset that is under way, and all motion.

    Asks supervisor and executor, each by itself: one that hangs does not keep the other from it.
    """
    with _operator(context.obj) as node, ThreadPoolExecutor(len(_STOPS)) as pool:

        def ask(client: Any) -> str | RobotError:
            try:
                answer = call(client, Trigger.Request(), timeout)
            except RobotError as error:
                return error
            return str(answer.message)

        clients: list[Client] = [node.create_client(Trigger, name) for name in _STOPS]
        answers = list(pool.map(ask, clients))
    silent = [answer for answer in answers if isinstance(answer, RobotError)]
    for error in silent:
        print(error, file=sys.stderr)
    if len(silent) == len(answers):
        raise typer.Exit(EXIT_NO_ANSWER)
    print(next(answer for answer in answers if not isinstance(answer, RobotError)))


@app.command()
def step(context: typer.Context, timeout: Timeout = 5.0) -> None:
    """Let the one step happen that waits in step mode."""
    _trigger(context.obj, "supervisor/step", timeout)


@app.command()
def label(
    context: typer.Context,
    verdict: Annotated[str, typer.Argument(help="success or failure", metavar="VERDICT")],
    note: Annotated[str, typer.Option(help="Why.")] = "",
    session: Annotated[str, typer.Option(help="Of which rollout; empty: the last.")] = "",
    timeout: Timeout = 5.0,
) -> None:
    """Say whether the last rollout succeeded."""
    if verdict not in ("success", "failure"):
        raise typer.BadParameter(f"{verdict!r}; allowed: success, failure")
    request = LabelRollout.Request(session=session, success=verdict == "success", note=note)
    with _operator(context.obj) as node:
        _report(_call(node, LabelRollout, "supervisor/label_rollout", request, timeout))


@app.command()
def status(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Until Ctrl-C, each change.")] = False,
    timeout: Timeout = 5.0,
) -> None:
    """Show the supervisor's state."""
    with _operator(context.obj) as node:
        follower = StatusFollower(node)
        shown = ""
        while True:
            newest = follower.next(timeout)
            if newest is None:
                _fail(f"supervisor/status: nothing received in {timeout:g} s", EXIT_NO_ANSWER)
            if not follow:
                print(describe(newest))
                return
            line = describe(newest)
            if line != shown:
                print(line, flush=True)
                shown = line


@app.command("load-policy")
def load_policy(
    context: typer.Context,
    policy: Annotated[Path, typer.Argument(help="Policy artefact.")],
    timeout: Timeout = 60.0,
) -> None:
    """Let the policy node use another artefact."""
    request = LoadPolicy.Request(path=str(policy.expanduser().resolve()))
    with _operator(context.obj) as node:
        answer = _call(node, LoadPolicy, "policy/load", request, timeout)
        _report(answer, shown=answer.policy)


@app.command("clear-latch")
def clear_latch(context: typer.Context, timeout: Timeout = 5.0) -> None:
    """Allow motion again after a fault; reset next."""
    _trigger(context.obj, "executor/clear_latch", timeout)


@app.command("save-start")
def save_start(context: typer.Context, timeout: Timeout = 10.0) -> None:
    """Let rollouts start where the robot stands now; reset next."""
    _trigger(context.obj, "executor/save_start", timeout)


@app.command()
def ready(context: typer.Context, timeout: Timeout = 5.0) -> None:
    """Tell a reset that waits for it that the environment is ready."""
    _trigger(context.obj, "supervisor/environment_ready", timeout)


@app.command()
def home(context: typer.Context, timeout: Timeout = 90.0) -> None:
    """Home the robot's joints: the arm moves to its ends; keep clear."""
    _trigger(context.obj, "home_the_robot", timeout)


class Playback(str, Enum):
    """What may be asked of a recording that is played."""

    PAUSE = "pause"
    GO = "go"
    STEP = "step"


@app.command()
def playback(
    context: typer.Context,
    ask: Annotated[Playback, typer.Argument(help="Hold, go on, or one message while held.")],
    timeout: Timeout = 5.0,
) -> None:
    """Hold a recording that `vinn replay --ros` plays, let it go on, or play one message of it."""
    if ask is Playback.STEP:
        _trigger(context.obj, "bag_player/step", timeout)
        return
    request = SetBool.Request(data=ask is Playback.PAUSE)
    with _operator(context.obj) as node:
        _report(_call(node, SetBool, "bag_player/pause", request, timeout))


def _operator(namespace: str) -> AbstractContextManager[Node]:
    """A node that is spun in the background."""
    return spun(client_node("operator", namespace))


@contextlib.contextmanager
def _stop_on_interrupt(node: Node) -> Iterator[None]:
    """Ctrl-C while the robot moves for this command means the robot, not the command alone."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        answer = _call(node, Trigger, "supervisor/stop_rollout", Trigger.Request(), 5.0)
        print(f"interrupted: {answer.message}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt


def _call(node: Node, service_type: Any, name: str, request: Any, timeout_s: float) -> Any:
    try:
        return call(node.create_client(service_type, name), request, timeout_s)
    except RobotError as error:
        _fail(str(error), EXIT_NO_ANSWER)


def _trigger(namespace: str, name: str, timeout_s: float) -> None:
    with _operator(namespace) as node:
        _report(_call(node, Trigger, name, Trigger.Request(), timeout_s))


def _report(answer: Any, shown: str = "") -> None:
    if not answer.success:
        _fail(answer.message, EXIT_REFUSED)
    print(shown or answer.message or "done")


def _fail(message: str, exit_code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(exit_code)


def main() -> None:
    """Entry point."""
    try:
        app()
    except VinnError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_USAGE) from error


if __name__ == "__main__":
    main()
