"""A `stretch_body` robot made and started: its environment, its signal handlers, its lock."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vinn.errors import RobotError

_FLEET_VARIABLES = ("HELLO_FLEET_PATH", "HELLO_FLEET_ID")


def make_robot() -> Any:
    """A `stretch_body.robot.Robot`; what it reads of the robot's files at import included.

    Raises:
        vinn.errors.RobotError: stretch_body is not installed, or finds no description of the robot.
            It raises KeyError for a missing variable and ends the process for a missing folder.
    """
    if importlib.util.find_spec("stretch_body") is None:
        raise RobotError("stretch_body: not installed (pip install hello-robot-stretch-body)")
    for name in _FLEET_VARIABLES:
        if not os.environ.get(name):
            raise RobotError(
                f"stretch_body: {name} is not set; needed, in a service or container too: both "
                "variables as the robot's ~/.bashrc exports them, such as "
                "HELLO_FLEET_PATH=/home/hello-robot/stretch_user HELLO_FLEET_ID=stretch-se3-3001"
            )
    folder = Path(*(os.environ[name] for name in _FLEET_VARIABLES))
    try:
        return importlib.import_module("stretch_body.robot").Robot()
    except ImportError as error:
        raise RobotError(f"stretch_body: not installed whole ({error})") from error
    except (SystemExit, KeyError, OSError, ValueError) as error:
        reason = "it ended the process" if isinstance(error, SystemExit) else repr(error)
        raise RobotError(
            f"stretch_body: no usable description of the robot in {folder} ({reason}); needed: "
            "stretch_user_params.yaml and stretch_configuration_params.yaml there, with a tool "
            "that stretch_body knows; set HELLO_FLEET_PATH and HELLO_FLEET_ID accordingly"
        ) from error


def start_robot(robot: Any, needed_joint: str) -> None:
    """Start it; one that does not come up whole is given back, so that the next try is one.

    Raises:
        vinn.errors.RobotError: another process has the robot, a device did not start, or the tool
            lacks `needed_joint`.
    """
    with _own_signal_handlers(robot):
        up = robot.startup()
    joints = ", ".join(robot.end_of_arm.joints) or "no joints"
    problem = ""
    if not up:
        problem = (
            "startup failed: another process has the robot (stretch_driver?), or a device does "
            "not answer (see stretch_system_check.py)"
        )
    elif needed_joint not in robot.end_of_arm.joints:
        problem = f"the tool has {joints}; needed: {needed_joint}"
    if problem:
        _give_back(robot)
        raise RobotError(f"stretch_body: {problem}")


@contextmanager
def _own_signal_handlers(robot: Any) -> Iterator[None]:
    """Inside, `startup` leaves the process's signal handlers alone.

    It would install its own for SIGINT and SIGTERM, which Python allows in the main thread only:
    from a node's service `startup` would raise half-way, with the motors on.
    """
    module = sys.modules[type(robot).__module__]
    theirs = getattr(module, "signal", None)
    if theirs is None:
        yield
        return
    vars(module)["signal"] = _NoHandlers()
    try:
        yield
    finally:
        vars(module)["signal"] = theirs


class _NoHandlers:
    """The module `signal`, but for its function of that name."""

    def signal(self, number: int, handler: object) -> None:
        """Installs nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(signal, name)


def _give_back(robot: Any) -> None:
    """Free the lock and the threads of a robot that did not come up whole."""
    try:
        robot.stop()
    except Exception as error:  # the start's own error is the one to tell
        logging.getLogger(__name__).warning("stretch_body: stop: %s", error)
