"""`vinn-operator drive`: a rollout by keyboard or gamepad, or taking over one that runs."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Vector3
from rclpy.client import Client
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger
from vinn.errors import ConfigError, RobotError

from vinn_msgs.msg import RolloutStatus
from vinn_msgs.srv import DriveStep
from vinn_ros.driving_inputs import EVENT_BYTES, KEYS, LEGEND, Direction, Gamepad, Hand
from vinn_ros.node.calls import call

SMALLEST_M, LARGEST_M = 0.005, 0.05
_ANSWER_S = 30.0
_SEEN_S = 2.0
"""So long the status of a step that has ended may be under way."""
_POLL_S = 0.1

Asked = Direction | Hand
Status = Callable[[], RolloutStatus]


class Drive:
    """One operator's hand: from what was pressed to requests, one at a time."""

    def __init__(self, node: Node, status: Status, step_m: float) -> None:
        """Args: whose clients, the newest status, length of a step [m]."""
        self._status = status
        self._drive: Client = node.create_client(DriveStep, "supervisor/drive")
        self._control: Client = node.create_client(SetBool, "supervisor/take_over")
        self._stop: Client = node.create_client(Trigger, "supervisor/stop_rollout")
        self._step_m = step_m
        self._closed = False

    def do(self, asked: Asked) -> str:
        """Do what was asked for; what to say about it.

        Raises:
            vinn.errors.RobotError: no answer.
        """
        if asked is Hand.STOP:
            return str(call(self._stop, Trigger.Request(), _ANSWER_S).message)
        if asked is Hand.CONTROL:
            mine = not self._status().driven
            return str(call(self._control, SetBool.Request(data=mine), _ANSWER_S).message)
        if isinstance(asked, Hand) and asked is not Hand.GRIPPER:
            factor = 2.0 if asked is Hand.LARGER else 0.5
            self._step_m = min(LARGEST_M, max(SMALLEST_M, factor * self._step_m))
            return f"steps of {1e3 * self._step_m:g} mm"
        if isinstance(asked, Hand):
            return self._step((0.0, 0.0, 0.0), not self._closed)
        x, y, z = asked
        return self._step((self._step_m * x, self._step_m * y, self._step_m * z), self._closed)

    def _step(self, delta_m: Direction, closed: bool) -> str:
        status = self._status()
        before = int(status.step)
        x, y, z = delta_m
        request = DriveStep.Request(
            session=status.session,
            after_step=before,
            camera_delta=Vector3(x=x, y=y, z=z),
            gripper=DriveStep.Request.CLOSE if closed else DriveStep.Request.OPEN,
        )
        answer = call(self._drive, request, _ANSWER_S)
        if not answer.success:
            return f"{answer.reason}: {answer.message}"
        self._closed = closed
        deadline_s = time.monotonic() + _SEEN_S
        # The next step is asked for by the number of this one, which comes by another way.
        while self._status().step == before and time.monotonic() < deadline_s:
            time.sleep(0.01)
        return f"step {self._status().step}, gripper {'closed' if closed else 'open'}"


@contextlib.contextmanager
def keyboard() -> Iterator[Callable[[], Asked | None]]:
    """Keys as they are pressed; what is no key of `KEYS` is passed over.

    Raises:
        vinn.errors.ConfigError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigError("drive: no terminal to read keys from; allowed: a terminal, or --gamepad")
    print(LEGEND, file=sys.stderr)
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def pressed() -> Asked | None:
        ready, _, _ = select.select([sys.stdin], [], [], _POLL_S)
        # What was typed while a step ran is not kept: the newest key alone.
        keys = os.read(sys.stdin.fileno(), 1024).decode(errors="ignore") if ready else ""
        stop = next((key for key in keys if KEYS.get(key) is Hand.STOP), "")
        return KEYS.get(stop or keys[-1:].lower())

    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def gamepad(device: Path) -> Iterator[Callable[[], Asked | None]]:
    """Buttons as they are pressed, and the sticks while they are pushed.

    Raises:
        vinn.errors.ConfigError: it cannot be read, or not any more (also while it is asked).
    """
    try:
        file = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"gamepad: {device}: {error.strerror}") from error
    pad = Gamepad()

    def pressed() -> Asked | None:
        select.select([file], [], [], _POLL_S)
        newest: Hand | None = None
        try:
            while newest is not Hand.STOP:
                event = os.read(file, EVENT_BYTES)
                if len(event) < EVENT_BYTES:
                    # A stick that was pushed when it went away is pushed by nobody.
                    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
                newest = pad.take(event) or newest
        except BlockingIOError:
            pass
        except OSError as error:
            raise ConfigError(
                f"gamepad: {device}: {error.strerror}; nothing moves: drive --take-over, or stop"
            ) from error
        return newest or pad.direction

    try:
        yield pressed
    finally:
        os.close(file)


def drive(
    pressed: Callable[[], Asked | None],
    hand: Drive,
    status: Status,
    session: str,
    say: Callable[[str], Any],
) -> RolloutStatus:
    """Drive until the rollout ends; its last status."""
    while True:
        now = status()
        if now.session == session and now.state == RolloutStatus.ENDED:
            return now
        asked = pressed()
        if asked is None:
            continue
        try:
            say(hand.do(asked))
        except RobotError as error:
            say(str(error))
