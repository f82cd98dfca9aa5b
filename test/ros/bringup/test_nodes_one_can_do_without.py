"""A bring-up goes on without the console and the views, and starts them again."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from camera_process import camera_specs, environment, write_frames
from ros_harness import Harness
from vinn_ros.bringup.graph import NodeSpec, door_opening
from vinn_ros.bringup.processes import BringUp, BringUpError, NodeProcess

pytestmark = pytest.mark.ros


class Ended(NodeProcess):
    """A process that ended."""

    def __init__(self, spec: NodeSpec, lived_s: float, code: int) -> None:
        self.spec = spec
        self.started_s = time.monotonic() - lived_s
        self._code = code

    @property
    def exit_code(self) -> int | None:
        return self._code

    @property
    def last_line(self) -> str:
        return "its last words"


def test_only_what_shows_the_system_is_not_required() -> None:
    for robot in ("real", "sim"):
        specs = door_opening(robot, console=True, views=True)
        assert {spec.name for spec in specs if not spec.required} == {"operator_console", "views"}


@pytest.mark.crosses_processes(
    reason="two nodes have to start as processes, one of them twice, and to be found in time"
)
def test_a_node_that_is_not_required_is_started_again(ros: Harness, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", 3)
    (camera,) = camera_specs(tmp_path / "frames", loop=True)
    views = NodeSpec("views", "views", required=False)
    lines: list[str] = []
    with BringUp([camera, views], environment(), lambda name, line: lines.append(line)) as nodes:
        assert nodes.wait_active(60.0)
        for _ in range(2):
            (process,) = (p for p in nodes.processes if p.spec is views)
            os.kill(process.pid, signal.SIGKILL)

            def again(dead: NodeProcess = process) -> bool:
                nodes.check()
                return any(p.spec is views and p is not dead for p in nodes.processes)

            ros.wait_for(again)
        assert sum("WARNING: views: ended with exit code -9" in line for line in lines) == 2
        os.kill(nodes.processes[0].pid, signal.SIGKILL)
        ros.wait_for(lambda: nodes.processes[0].exit_code is not None)
        with pytest.raises(BringUpError, match="wrist_camera: ended with exit code -9"):
            nodes.check()


@pytest.mark.parametrize(
    ("lives_s", "code", "starts"),
    [
        ([0.0] * 9, 1, 5),  # in vain
        ([100.0] * 9, 1, 9),  # each time for long
        ([0.0], 2, 0),  # its configuration is refused: it would be again
        ([0.0, 0.0, 90.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], -11, 7),
    ],
)
def test_one_that_keeps_ending_is_left_out(
    monkeypatch: pytest.MonkeyPatch, lives_s: list[float], code: int, starts: int
) -> None:
    lines: list[str] = []
    spec = NodeSpec("views", "views", required=False)
    bring_up = BringUp([spec], {}, lambda name, line: lines.append(line))
    started: list[NodeSpec] = []
    monkeypatch.setattr(bring_up, "_start", started.append)
    bring_up._active = True
    for lived_s in lives_s:
        bring_up.processes = [Ended(spec, lived_s, code)]
        bring_up.check()
        assert bring_up.processes == []
        bring_up._due = dict.fromkeys(bring_up._due, 0.0)
        before = len(started)
        bring_up.check()
        if len(started) == before:
            break
    assert len(started) == starts
    assert "its last words" in lines[-1]
    assert ("left out" in lines[-1]) == (starts < len(lives_s))


def test_before_all_are_active_every_refusal_counts() -> None:
    spec = replace(NodeSpec("views", "views"), required=False)
    bring_up = BringUp([spec], {})
    bring_up.processes = [Ended(spec, 0.0, 2)]
    with pytest.raises(BringUpError, match="its last words") as refused:
        bring_up.check()
    assert refused.value.exit_code == 2
