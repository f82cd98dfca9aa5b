"""A node that is asked to end while it still loads ends before launch insists, with exit code 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from ros_domain import own_domain
from vinn_ros.bringup import graph

pytestmark = pytest.mark.ros

LAUNCH_INSISTS_S = 5.0
"""From SIGINT to SIGTERM, and from there to SIGKILL (`launch`'s sigterm_timeout, sigkill_timeout).
"""
LOADING_S = 60.0

_HEAD = f"""
import ctypes, sys, threading, time
sys.argv[0] = "vinn_policy"
import vinn_ros.nodes
until_s = time.monotonic() + {LOADING_S}

def ready():
    print("ready", flush=True)

def busy():
    while time.monotonic() < until_s:
        pass
"""
_IMPORTING = """
ready()
busy()
"""
_CONFIGURING = """
from vinn_ros.policy import node as vinn_policy

class Slow:
    def __init__(self, *given):
        ready()
        load()

vinn_policy.LoadedPolicy = Slow
vinn_policy.main()
"""
_CONSTRUCTING = """
from vinn_ros.policy import node as vinn_policy
from vinn_ros.node.main import run_node

def construct():
    ready()
    busy()

run_node(construct)
"""
_LOADS = {
    # A network is compiled: the interpreter is free.
    "asleep": "def load(): time.sleep(until_s - time.monotonic())",
    # Everything is unpacked in Python by several threads.
    "computing": """
def load():
    threads = [threading.Thread(target=busy, daemon=True) for _ in range(6)]
    [thread.start() for thread in threads]
    busy()
""",
    # Libraries are loaded from a slow disk: again and again the interpreter is kept.
    "keeping the interpreter": """
def load():
    keeping = ctypes.PyDLL(None)
    while time.monotonic() < until_s:
        keeping.usleep(250_000)
""",
    # What is needed for an orderly end does not come to an end either.
    "holding up the end": """
def load():
    from vinn_ros.node.node_executor import NodeExecutor
    NodeExecutor.shutdown = lambda self, timeout_sec=None: busy()
    busy()
""",
}


@pytest.mark.alone
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(_IMPORTING, id="importing"),
        pytest.param(_CONSTRUCTING, id="constructing"),
        *(pytest.param(load + _CONFIGURING, id=name) for name, load in _LOADS.items()),
    ],
)
def test_a_node_that_loads_ends_on_request(code: str, stop: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _HEAD + code, "--ros-args", "-p", "policy:=/slow"],
        env={**os.environ, **graph.environment("sim"), "ROS_DOMAIN_ID": str(own_domain())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        asked_s = time.monotonic()
        process.send_signal(stop)
        errors = process.communicate(timeout=LOADING_S / 2)[1]
        took_s = time.monotonic() - asked_s
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert took_s < LAUNCH_INSISTS_S


def test_a_request_that_came_before_the_interpreter_is_not_lost() -> None:
    """`vinn-bringup` starts nodes with both signals held back."""
    code = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n" + _HEAD + "print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
