"""What a recording says besides images and predictions: steps, joints, events, thresholds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.rollout.reader import read_recording
from vinn.rollout.states import RolloutState
from vinn.rollout.storage.stored import recorded_types
from vinn.rollout.storage.topics import find_topics
from vinn.viz.timeline import EXECUTING

SHOWN_JOINTS = ("joint_lift", "wrist_extension", "joint_arm", "joint_wrist_yaw")
_TOPICS = {
    "executor/status": ("vinn_msgs/msg/ExecutorStatus",),
    "supervisor/status": ("vinn_msgs/msg/RolloutStatus",),
    "stretch/joint_states": ("sensor_msgs/msg/JointState",),
    "diagnostics": ("diagnostic_msgs/msg/DiagnosticArray",),
}
_CLOSE, _OPEN = "gripper_close_above", "gripper_open_below"


@dataclass(frozen=True)
class Event:
    """Something that changed."""

    recorded_ns: int
    source: str
    text: str


@dataclass(frozen=True)
class SentStep:
    """One step of the executor when it had ended: base axes [m]."""

    recorded_ns: int
    sequence: int
    requested_base_delta_m: NDArray[np.float64]
    sent_base_delta_m: NDArray[np.float64]
    gripper_closed: bool
    reason: str


@dataclass
class RolloutTracks:
    """Series over time, in the order of recording."""

    steps: list[SentStep] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    joints: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Positions [m or rad] by joint: time and value."""
    gripper_closed: list[tuple[int, bool]] = field(default_factory=list)
    close_above: float | None = None
    """Thresholds of the gripper value, if the executor told them."""
    open_below: float | None = None


def load_tracks(path: Path) -> RolloutTracks:
    """Read the tracks of a recording.

    Raises:
        DatasetError: not a recording, or damaged inside; a topic of another type, or of several
            robots.
    """
    tracks = RolloutTracks()
    reader = _Reader(tracks)
    topics = find_topics(path, recorded_types(path), _TOPICS)
    for entry in read_recording(path, topics):
        reader.takers[topics[entry.topic]](entry.stamp_ns, entry.message)
    for values in tracks.joints.values():
        values.sort(key=lambda entry: entry[0])
    return tracks


class _Reader:
    """Turns messages into tracks; remembers what was said last, to see what changed."""

    def __init__(self, tracks: RolloutTracks) -> None:
        self._tracks = tracks
        self._said: dict[str, str] = {}
        self._executing: int | None = None
        self.takers = {
            "executor/status": self._executor,
            "supervisor/status": self._supervisor,
            "stretch/joint_states": self._joints,
            "diagnostics": self._diagnostics,
        }

    def _changed(self, now_ns: int, source: str, text: str) -> None:
        if self._said.get(source) != text:
            self._said[source] = text
            self._tracks.events.append(Event(now_ns, source, text))

    def _executor(self, now_ns: int, status: Any) -> None:
        tracks = self._tracks
        if not tracks.gripper_closed or tracks.gripper_closed[-1][1] != status.gripper_closed:
            tracks.gripper_closed.append((now_ns, bool(status.gripper_closed)))
        if status.state == EXECUTING:
            self._executing = int(status.sequence)
        elif self._executing is not None:
            tracks.steps.append(
                SentStep(
                    now_ns,
                    self._executing,
                    _vector(status.requested_base_delta),
                    _vector(status.sent_base_delta),
                    bool(status.gripper_closed),
                    status.reason,
                )
            )
            self._executing = None
        if status.reason not in ("", "NONE"):
            self._changed(now_ns, "executor", f"{status.reason} {status.message}".strip())
        else:
            self._said.pop("executor", None)

    def _supervisor(self, now_ns: int, status: Any) -> None:
        text = RolloutState.name_of(status.state)
        if status.reason not in ("", "NONE"):
            text += f": {status.reason} {status.message}".rstrip()
        self._changed(now_ns, "supervisor", text)

    def _joints(self, now_ns: int, message: Any) -> None:
        for name, position in zip(message.name, message.position, strict=False):
            if name in SHOWN_JOINTS:
                self._tracks.joints.setdefault(name, []).append((now_ns, float(position)))

    def _diagnostics(self, now_ns: int, array: Any) -> None:
        for status in array.status:
            level = int(status.level)
            values = {entry.key: entry.value for entry in status.values}
            if _CLOSE in values:
                self._tracks.close_above = float(values[_CLOSE])
                self._tracks.open_below = float(values[_OPEN])
            if level > 0:
                self._changed(now_ns, status.name, status.message)
            elif status.name in self._said:
                self._changed(now_ns, status.name, "well again")
                self._said.pop(status.name)


def _vector(vector: Any) -> NDArray[np.float64]:
    return np.array([vector.x, vector.y, vector.z], dtype=np.float64)
