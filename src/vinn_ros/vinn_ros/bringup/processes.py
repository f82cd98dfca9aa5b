"""Node processes: started, watched, stopped in order."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vinn_ros.bringup.graph import NodeSpec
from vinn_ros.node.main import EXIT_BUG, EXIT_REFUSED
from vinn_ros.node.signals import hold_stop_signals

_PR_SET_PDEATHSIG = 1
_STOP_TIMEOUT_S = 10.0
"""A killed node loses what it holds, so a busy machine gets more than the second it takes."""
_MOST_DEATHS, _LONG_LIFE_S = 5, 60.0
"""What ends so often, each time before it has run so long, is left out."""
_ENDS_FIRST = "rollout_supervisor"

Echo = Callable[[str, str], None]
"""Told the node and each line that it writes."""


class BringUpError(Exception):
    """A node did not come up, or went away."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NodeProcess:
    """One node in a process of its own."""

    def __init__(self, spec: NodeSpec, env: dict[str, str], echo: Echo, log: Path | None) -> None:
        """Args: what to run, with what environment, who hears its output, where it is kept."""
        self.spec = spec
        self._echo = echo
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", spec.module, *spec.ros_arguments()],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C in the terminal reaches the bring-up alone, which stops the nodes in order.
            start_new_session=True,
            preexec_fn=_before_node,
        )
        self.started_s = time.monotonic()
        self._last_line = ""
        self._asked = False
        self._reader = threading.Thread(target=self._read, name=f"read-{spec.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def last_line(self) -> str:
        """What it wrote last; complete once it has exited."""
        if self.exit_code is not None:
            self._reader.join(timeout=1.0)
        return self._last_line

    def ask_to_end(self) -> None:
        """Begin to stop it; does not wait. A second request does nothing."""
        if not self._asked:
            self._asked = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    def stop(self) -> int:
        """Ask it to end, insist after a while; returns its exit code."""
        self.ask_to_end()
        try:
            self._process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._echo(self.spec.name, f"did not end within {_STOP_TIMEOUT_S:g} s: killed")
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=1.0)
        return int(self._process.returncode)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self._log.open("w")) if self._log else None
            for line in stream:
                text = line.rstrip("\n")
                if text:
                    self._last_line = text
                    self._echo(self.spec.name, text)
                if log is not None:
                    log.write(line)
                    log.flush()


class BringUp:
    """A graph of nodes, one process each; stops them when left, the supervisor first."""

    def __init__(
        self,
        specs: Sequence[NodeSpec],
        env: dict[str, str],
        echo: Echo | None = None,
        log_directory: Path | None = None,
    ) -> None:
        """Args: nodes in the order in which they start, environment, output, logs per node."""
        self._specs = list(specs)
        self._env = env
        self._echo = echo or (lambda name, line: None)
        self._log_directory = log_directory
        self.processes: list[NodeProcess] = []
        self._active = False
        """All have been active: from then on the robot does without those not required."""
        self._deaths: dict[str, int] = {}
        self._due: dict[str, float] = {}
        """When to start again what has ended, by name (steady)."""

    def __enter__(self) -> BringUp:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every process; does not wait."""
        if self._log_directory is not None:
            self._log_directory.mkdir(parents=True, exist_ok=True)
        for spec in self._specs:
            self._start(spec)

    def _start(self, spec: NodeSpec) -> None:
        log = self._log_directory / f"{spec.name}.log" if self._log_directory else None
        self.processes.append(NodeProcess(spec, self._env, self._echo, log))

    def wait_active(
        self, timeout_s: float = 60.0, should_stop: Callable[[], bool] | None = None
    ) -> bool:
        """Wait until every node says that it is active. False: `should_stop` said so.

        Raises:
            BringUpError: a node ended, or was not active in time.
        """
        deadline_s = time.monotonic() + timeout_s
        with _StateReader([spec.full_name for spec in self._specs]) as reader:
            while True:
                self.check()
                waiting = reader.not_active()
                if not waiting:
                    self._active = True
                    return True
                if should_stop is not None and should_stop():
                    return False
                if time.monotonic() > deadline_s:
                    raise BringUpError(f"{waiting[0]}: not active within {timeout_s:g} s", EXIT_BUG)

    def check(self) -> None:
        """See that every process still runs; one that the robot can do without is started again.

        Raises:
            BringUpError: one has ended without which nothing goes; its exit code is 2 if it refused
                its configuration.
        """
        for process in list(self.processes):
            code = process.exit_code
            if code is None:
                continue
            ended = f"{process.spec.name}: ended with exit code {code}: {process.last_line}"
            if process.spec.required or not self._active:
                raise BringUpError(ended, EXIT_REFUSED if code == EXIT_REFUSED else EXIT_BUG)
            self._go_on_without(process, code, ended)
        for spec in self._specs:
            if self._due.get(spec.name, math.inf) <= time.monotonic():
                del self._due[spec.name]
                self._start(spec)

    def _go_on_without(self, process: NodeProcess, code: int, ended: str) -> None:
        name = process.spec.name
        self.processes.remove(process)
        lived_s = time.monotonic() - process.started_s
        deaths = 1 if lived_s > _LONG_LIFE_S else self._deaths.get(name, 0) + 1
        self._deaths[name] = deaths
        if code == EXIT_REFUSED or deaths > _MOST_DEATHS:
            self._echo("bringup", f"WARNING: {ended}; left out, the robot does without it")
            return
        wait_s = 2.0 ** (deaths - 1)
        self._due[name] = time.monotonic() + wait_s
        self._echo("bringup", f"WARNING: {ended}; started again in {wait_s:g} s")

    def stop(self) -> dict[str, int]:
        """Stop every process; returns the exit codes.

        The supervisor ends its rollout with the help of the nodes that were started before it:
        these end when it has.
        """
        order = list(reversed(self.processes))
        names = [process.spec.executable for process in order]
        first = names.index(_ENDS_FIRST) + 1 if _ENDS_FIRST in names else 0
        codes: dict[str, int] = {}
        for together in (order[:first], order[first:]):
            for process in together:
                process.ask_to_end()
            codes |= {process.spec.name: process.stop() for process in together}
        self.processes = []
        return codes


class _StateReader:
    """Asks nodes for their lifecycle state, in a ROS context of its own."""

    def __init__(self, full_names: Sequence[str]) -> None:
        self._waiting = list(full_names)
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(f"bringup_{os.getpid()}", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._clients: dict[str, Client] = {
            name: self._node.create_client(GetState, f"{name}/get_state") for name in full_names
        }

    def __enter__(self) -> _StateReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def not_active(self) -> list[str]:
        """The nodes that have not yet said that they are active; takes up to a second."""
        client = self._clients[self._waiting[0]]
        if not client.service_is_ready():
            self._executor.spin_once(timeout_sec=0.1)
            return self._waiting
        future = client.call_async(GetState.Request())
        self._executor.spin_until_future_complete(future, timeout_sec=1.0)
        answer = future.result() if future.done() else None
        client.remove_pending_request(future)
        if answer is not None and answer.current_state.id == State.PRIMARY_STATE_ACTIVE:
            self._waiting.pop(0)
        else:
            self._executor.spin_once(timeout_sec=0.1)
        return self._waiting


def _before_node() -> None:
    """Before the node's interpreter starts, which inherits both."""
    hold_stop_signals()
    # Linux: a bring-up that is killed takes its nodes with it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
