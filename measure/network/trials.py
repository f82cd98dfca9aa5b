"""One rollout in a bad network as it is kept: a line of JSON per rollout, a file per cell."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from vinn.errors import DatasetError
from vinn.rollout.reader import read_recording
from vinn.viz.timeline import load_timeline, stamp_ns

from vinn_msgs.msg import ExecutorStatus


@dataclass(frozen=True)
class Seen:
    """What one recording says."""

    ages_s: list[float] = field(default_factory=list)
    """Of the image behind each step, when the executor took the step on."""
    stale: int = 0
    """Steps on an image that was too old, or from before the last motion had settled."""
    frames: int = 0
    heard: int = 0
    """Of the camera's frames in a rollout, those that came to the supervisor."""


@dataclass(frozen=True)
class Trial:
    """One rollout of a cell, or the vain wait for one."""

    policy: str
    commit: str
    started: bool
    opened: bool = False
    reason: str = ""
    """Why it ended; why it did not start."""
    message: str = ""
    """What the supervisor said of that."""
    tried: bool = True
    """False: given up, since none of those before could start."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Starts that were refused before the one that was not, by reason."""
    recovered: bool | None = None
    """Whether a reset worked after a trouble; None: there was none."""
    took_s: float = 0.0
    """Waiting, reset and recovery included."""
    seen: Seen = field(default_factory=Seen)


class KeptTrials:
    """The trials of one cell on disk; what was measured stays, whatever comes."""

    def __init__(self, directory: Path, cell: str, policy: str) -> None:
        """Args: of all cells, name of this one, label of the policy.

        Raises:
            DatasetError: trials there are malformed, or of another policy.
        """
        self.path = directory / f"{re.sub(r'[^A-Za-z0-9]+', '_', cell).strip('_')}.jsonl"
        self.trials: list[Trial] = []
        self._torn_bytes = 0
        if not self.path.exists():
            return
        lines = self.path.read_text().split("\n")
        whole, rest = lines[:-1], lines[-1]
        self.trials = [self._read(line, number) for number, line in enumerate(whole, 1)]
        found = {trial.policy for trial in self.trials} - {policy}
        if found:
            raise DatasetError(
                f"{self.path}: trials of policy {found.pop()}; allowed: {policy}, or another --raw"
            )
        # What a process is writing, or was when it was killed.
        self._torn_bytes = len(rest.encode())

    def _read(self, line: str, number: int) -> Trial:
        try:
            entry = json.loads(line)
            return Trial(**{**entry, "seen": Seen(**entry["seen"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DatasetError(f"{self.path}: line {number}: no trial: {error!r}") from error

    def add(self, trial: Trial) -> None:
        """Keep one more."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._torn_bytes:
            os.truncate(self.path, self.path.stat().st_size - self._torn_bytes)
            self._torn_bytes = 0
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(trial)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.trials.append(trial)


def read_steps(recording: Path, limit_s: float) -> Seen:
    """What a recording says of the images behind its steps.

    Args:
        recording: of the rollout.
        limit_s: the age above which an image is too old.

    Raises:
        DatasetError: no recording.
    """
    timeline = load_timeline(recording)
    settled_ns: dict[int, int] = {}
    for entry in read_recording(recording, {"/executor/status"}):
        if entry.message.state == ExecutorStatus.IDLE:
            settled_ns.setdefault(int(entry.message.sequence), stamp_ns(entry.message.header.stamp))
    ages_s, stale = [], 0
    for step, prediction in timeline.steps_with_predictions():
        age_s = (step.stamp_ns - prediction.stamp_ns) * 1e-9
        ages_s.append(age_s)
        # Before the first step nothing has moved since the reset.
        before_ns = settled_ns.get(step.sequence - 1, 0) if step.sequence > 1 else 0
        stale += age_s > limit_s or prediction.stamp_ns < before_ns
    stamps_s = np.array([image.stamp_ns for image in timeline.wrist]) * 1e-9
    frames = heard = 0
    if len(stamps_s) > 2:
        gaps_s = np.diff(np.sort(stamps_s))
        heard = len(gaps_s)
        frames = int(np.maximum(1, np.round(gaps_s / np.median(gaps_s))).sum())
    return Seen(ages_s, stale, frames, heard)
