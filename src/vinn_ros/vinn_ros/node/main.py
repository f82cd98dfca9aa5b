"""A node's process: start, spin, stop signals, exit codes."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import SignalHandlerOptions
from vinn.errors import VinnError

from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.node_executor import NodeExecutor
from vinn_ros.node.signals import StopSignals, hold_stop_signals

EXIT_OK, EXIT_BUG, EXIT_REFUSED = 0, 1, 2

NodeFactory = Callable[[], VinnNode]
_LEAVING_S = 2.0
_SWITCH_S = 5e-4
"""A thread that has something to do gets the interpreter after this from one that goes on; Python's
own 5 ms, several times between a frame and its command, are a tenth of a step."""
_POLL_S = 0.05
_UNFINISHED_S = 1.0
"""A transition that is under way when the process is to end gets so long."""
_ABANDONED_S = 2.0
"""And then the process, to leave in order: launch insists 5 s after it has asked."""


@dataclass
class _Start:
    """Making the nodes and bringing them up, in a thread of its own: loading may take long, and a
    request to stop is heard meanwhile."""

    factories: Sequence[NodeFactory]
    executor: NodeExecutor
    spinner: threading.Thread
    nodes: list[VinnNode] = field(default_factory=list)
    unfinished: VinnNode | None = None
    """The node that is being brought up."""
    stopping: bool = False
    exit_code: int | None = None
    """None: all are up."""
    problem: BaseException | None = None

    busy: bool = True
    """Whether `run` goes on."""

    def run(self) -> None:
        """Each node in turn."""
        try:
            self.exit_code = self._run()
        except BaseException as problem:
            self.problem = problem
        self.busy = False

    def _run(self) -> int | None:
        for factory in self.factories:
            node = factory()
            self.nodes.append(node)
            self.executor.add_node(node)
        self.spinner.start()
        for node in self.nodes:
            if self.stopping:
                return EXIT_OK
            self.unfinished = node
            up = node.bring_up()
            self.unfinished = None
            if not up:
                if node.refusal is None:
                    return EXIT_BUG
                print(node.refusal, file=sys.stderr, flush=True)
                return EXIT_REFUSED
        return None


def spin(factories: Sequence[NodeFactory]) -> int:
    """Run nodes in this process until SIGINT or SIGTERM; they stop in reverse order.

    Returns:
        The exit code: 0 stopped on request, 2 refused to start (one line on stderr says why).
    """
    sys.setswitchinterval(_SWITCH_S)
    with StopSignals() as signals:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        executor = NodeExecutor(threads=4 + 4 * len(factories))
        ending = threading.Event()
        spinner = threading.Thread(target=_spin, args=(executor, ending), name="spin", daemon=True)
        start = _Start(factories, executor, spinner)
        try:
            exit_code = _run(start, signals)
        except VinnError as error:
            print(error, file=sys.stderr, flush=True)
            exit_code = EXIT_REFUSED
        for node in reversed(start.nodes):
            if node is start.unfinished:
                # It moves nothing yet, and a transition cannot be interrupted.
                node.abandoned = True
            else:
                node.take_down()
        if start.busy:
            _end_within(_ABANDONED_S, exit_code)
        ending.set()
        # Nothing may run in the executor any more when the context goes.
        executor.shutdown(timeout_sec=2.0)
        if spinner.ident is not None:
            spinner.join(timeout=2.0)
        rclpy.try_shutdown()
        for node in reversed(start.nodes):
            node.destroy_node()
    return exit_code


def _run(start: _Start, signals: StopSignals) -> int:
    """Bring the nodes up, wait for the end."""
    starting = threading.Thread(target=start.run, name="start", daemon=True)
    starting.start()
    while starting.is_alive():
        if signals.wait(_POLL_S):
            start.stopping = True
            starting.join(_UNFINISHED_S)
            return EXIT_OK
    if start.problem is not None:
        raise start.problem
    if start.exit_code is not None:
        return start.exit_code
    # Looking through all that was loaded takes the collector tens of milliseconds, in mid-step.
    gc.collect()
    gc.freeze()
    while not signals.wait(0.5):
        if not start.spinner.is_alive():
            return EXIT_BUG
    return EXIT_OK


def _end_within(seconds: float, exit_code: int) -> None:
    """End the process after `seconds`, wherever it is then: what it abandons (a load that goes on,
    and takes processor and locks) may hold up each part of an orderly end.
    """

    def end() -> None:
        time.sleep(seconds)
        os._exit(exit_code)

    threading.Thread(target=end, name="end", daemon=True).start()


def _spin(executor: NodeExecutor, ending: threading.Event) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception:
        # On a busy machine a callback may still hold what the shutdown destroys (InvalidHandle).
        if not ending.is_set():
            raise


def leave_network() -> None:
    """Destroy the context: only then Fast DDS removes its 16 MiB of shared memory.

    Without, each end of a process would leave them behind until /dev/shm is full. It waits a
    bounded time, since a node that ends must not hang on what it leaves.
    """

    def destroy() -> None:
        # What still refers to the context keeps it: executors and nodes in reference cycles.
        gc.unfreeze()
        gc.collect()
        rclpy.get_default_context().destroy()

    leaving = threading.Thread(target=destroy, name="leave", daemon=True)
    leaving.start()
    leaving.join(timeout=_LEAVING_S)


def run_node(node_class: NodeFactory) -> None:
    """The `main` of a node's executable."""
    # Nothing may end it half-way from here on.
    hold_stop_signals()
    exit_code = spin([node_class])
    leave_network()
    sys.stdout.flush()
    sys.stderr.flush()
    # DDS and inference threads sometimes outlive the interpreter's own shutdown and crash it.
    os._exit(exit_code)
