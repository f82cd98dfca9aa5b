"""`vinn-operator drive`: what keys, buttons and sticks mean, and a rollout by keyboard."""

from __future__ import annotations

import math
import os
import pty
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_harness import Harness
from supervisor_bench import Bench
from vinn.errors import ConfigError
from vinn_ros.bringup import graph
from vinn_ros.drive_command import gamepad
from vinn_ros.driving_inputs import EVENT_BYTES, KEYS, Gamepad, Hand

from vinn_msgs.msg import RolloutStatus

pytestmark = pytest.mark.ros

BUTTON, AXIS, INITIAL = 1, 2, 0x80


def event(kind: int, number: int, value: int) -> bytes:
    return struct.pack("<IhBB", 12345, value, kind, number)


def test_each_direction_has_a_key_and_a_way_back() -> None:
    directions = [asked for asked in KEYS.values() if not isinstance(asked, Hand)]
    assert len(directions) == len(set(directions)) == 6
    assert {tuple(-value for value in asked) for asked in directions} == set(directions)
    assert {asked for asked in KEYS.values() if isinstance(asked, Hand)} == set(Hand)


@pytest.mark.parametrize(
    ("axis", "value", "direction"),
    [
        (0, -32767, (-1, 0, 0)),
        (0, 32767, (1, 0, 0)),
        (1, -32767, (0, 0, 1)),  # the stick forward
        (1, 32767, (0, 0, -1)),
        (4, -32767, (0, -1, 0)),
        (4, -32768, (0, -1, 0)),
    ],
)
def test_a_stick_that_is_pushed_is_a_direction(
    axis: int, value: int, direction: tuple[float, ...]
) -> None:
    pad = Gamepad()
    assert pad.take(event(AXIS | INITIAL, axis, 0)) is None
    assert pad.direction is None
    assert pad.take(event(AXIS, axis, value)) is None
    assert pad.direction == direction
    pad.take(event(AXIS, axis, value // 4))
    assert pad.direction is None, "a stick that has gone back asks for nothing"


@pytest.mark.parametrize("rest", [b"", b"\x01\x02\x03"])
@pytest.mark.parametrize("before", [(), ((AXIS, 1, -32767),), ((AXIS, 1, -32767), (BUTTON, 0, 1))])
def test_a_gamepad_that_is_pulled_out_asks_for_nothing_more(
    tmp_path: Path, before: tuple[tuple[int, int, int], ...], rest: bytes
) -> None:
    """With a stick pushed as well: the last push would be repeated for ever."""
    device = tmp_path / "js0"
    os.mkfifo(device)
    plug = os.open(device, os.O_RDWR)
    with gamepad(device) as pressed:
        assert pressed() is None
        for kind, number, value in before:
            os.write(plug, event(kind, number, value))
        if before:
            assert pressed() == (Hand.GRIPPER if len(before) == 2 else (0.0, 0.0, 1.0))
        os.write(plug, rest)
        os.close(plug)
        with pytest.raises(ConfigError, match="js0: No such device; nothing moves"):
            pressed()


def test_two_sticks_make_one_direction_of_unit_length() -> None:
    pad = Gamepad()
    pad.take(event(AXIS, 0, 32767))
    pad.take(event(AXIS, 1, -32767))
    assert pad.direction == pytest.approx((math.sqrt(0.5), 0.0, math.sqrt(0.5)))
    pad.take(event(AXIS, 3, -32767))  # the other stick takes it back
    assert pad.direction == pytest.approx((0.0, 0.0, 1.0))


def test_buttons_count_when_pressed_and_not_as_they_were_at_the_start() -> None:
    pad = Gamepad()
    assert pad.take(event(BUTTON | INITIAL, 0, 1)) is None
    assert pad.take(event(BUTTON, 0, 1)) is Hand.GRIPPER
    assert pad.take(event(BUTTON, 0, 0)) is None
    assert pad.take(event(BUTTON, 1, 1)) is Hand.STOP
    assert pad.take(event(BUTTON, 3, 1)) is Hand.CONTROL
    assert pad.take(event(BUTTON, 11, 1)) is None
    assert pad.take(event(AXIS, 7, 32767)) is None
    assert pad.direction is None
    with pytest.raises(ValueError, match="3 bytes; allowed: 8"):
        pad.take(b"abc")
    assert EVENT_BYTES == 8


class Terminal:
    """`vinn-operator drive` in a terminal."""

    def __init__(self, *arguments: str) -> None:
        self.keys, inside = pty.openpty()
        environment = {**os.environ, **graph.environment("sim")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vinn_ros.operator", "drive", *arguments],
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        os.close(inside)

    def press(self, key: str) -> None:
        os.write(self.keys, key.encode())


@pytest.fixture
def bench(ros: Harness, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(ros, tmp_path)
    yield bench
    bench.rest.release.set()


@pytest.mark.crosses_processes(
    reason="the command and the node here have to find each other in time"
)
def test_a_rollout_by_keyboard(bench: Bench) -> None:
    assert bench.reset().success
    terminal = Terminal("--name", "by hand", "--step", "0.03")
    bench.ros.wait_for(lambda: bench.statuses[-1].state == RolloutStatus.RUNNING, 60.0)
    seen = []
    for count, key in enumerate("wdrgs", 1):
        bench.ros.wait_for(lambda: bench.node._driving._waiting)
        terminal.press(key)
        bench.ros.wait_for(lambda c=count: len(bench.rest.steps) == c, 30.0)
        said = bench.rest.steps[-1].prediction
        delta = (said.camera_delta.x, said.camera_delta.y, said.camera_delta.z)
        seen.append((*delta, said.gripper_value))
        bench.ros.wait_for(lambda c=count: bench.statuses[-1].step == c)
    assert seen == [
        (0.0, 0.0, 0.03, 0.0),
        (0.03, 0.0, 0.0, 0.0),
        (0.0, -0.03, 0.0, 0.0),
        (0.0, 0.0, 0.0, 3.0),
        (0.0, 0.0, -0.03, 3.0),
    ]
    terminal.press("x")  # means nothing
    terminal.press("q")
    status = bench.wait_state(RolloutStatus.ENDED)
    assert (status.reason, status.step) == ("OPERATOR_STOP", 5)
    output = terminal.process.communicate(timeout=60.0)[0]
    assert terminal.process.returncode == 0, output
    assert "step 4, gripper closed" in output


def test_without_a_terminal_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vinn_ros.operator", "drive"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "drive: no terminal to read keys from; allowed: a terminal, or --gamepad"
    )
    done = subprocess.run(
        [sys.executable, "-m", "vinn_ros.operator", "drive", "--gamepad", "/dev/input/js99"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("gamepad: /dev/input/js99: ")
