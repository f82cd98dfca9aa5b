"""Row 22: the disk is full while a rollout is recorded; the rollout does not care."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_measure import Measure
from fault_stack import SLOW, Stack
from vinn.demos.types import ActionScale
from vinn.errors import DatasetError
from vinn.recordings.rollout_demonstration import add_rollout
from vinn.robot.config import CameraMount
from vinn.rollout.reader import summarize_recording

pytestmark = [
    pytest.mark.alone,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="three nodes run as processes against watchdogs, and a busy machine may stall one"
    ),
]

ROOM_BYTES = 256 * 1024


@contextlib.contextmanager
def little_room(stack: Stack) -> Iterator[str]:
    """A small tmpfs for the recordings; where none may be mounted, a limit on file sizes."""
    stack.recordings.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(stack.recordings)]
    mounted = shutil.which("mount") and not subprocess.call(
        ["mount", *options], stderr=subprocess.DEVNULL
    )
    if mounted:
        try:
            yield "ENOSPC on a tmpfs"
        finally:
            subprocess.check_call(["umount", "-l", str(stack.recordings)])
        return
    # Every write beyond it fails (EFBIG), as on a full disk (ENOSPC).
    pid = stack.pid("rollout_supervisor")
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, before[1]))
    try:
        yield "EFBIG"
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_row_22_disk_full_while_recording(stack: Stack, tmp_path: Path) -> None:
    with little_room(stack) as how:
        stack.run("disk full", pace=2.0)
        motions_s = [stack.wait_motion() for _ in range(4)]
        partial = stack.recordings / f"{stack.status.session}.mcap.partial"

        def full() -> bool:
            return any("recording ended" in line for line in stack.lines) or (
                partial.stat().st_size >= ROOM_BYTES - 65536
            )

        stack.ros.wait_for(full, 60.0)
        after_s = [stack.wait_motion() for _ in range(5)]
        stack.stop()
        status = stack.status
        kept = tmp_path / "kept.mcap.partial"
        shutil.copy(status.recording, kept)
    stack.driver.joints.pace = SLOW
    measure = Measure(22)
    measure.value(f"steps after the disk was full ({how})", len(after_s), "", ">= 5")
    # The quickest of each: what else the machine does slows single steps, before or after.
    slower = float(np.diff(after_s).min() / np.diff(motions_s).min())
    measure.value("time per step, full over before", slower, "", "<= 2")
    assert status.reason == "OPERATOR_STOP"
    assert status.recording.endswith(".partial")
    summary = summarize_recording(kept)
    assert summary.outcome is None, "the recording claims to be whole"
    assert sum(summary.message_counts.values()) > 0
    with pytest.raises(DatasetError):
        add_rollout(kept, tmp_path / "demos", CameraMount(), ActionScale.UNIT)
    measure.value("incomplete recordings taken into training", 0, "", "== 0")
