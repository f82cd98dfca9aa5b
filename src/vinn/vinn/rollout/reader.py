"""Reading recordings back, of whatever kind, whole or cut off by a crash."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vinn.rollout.recorder import INFO_RECORD, LOST_KEY, OUTCOME_RECORD, PARAMETERS_RECORD
from vinn.rollout.recording_files import RecordingFiles, Storage, recording_files
from vinn.rollout.storage.clock import ClockJump, RecordingClock, stamp_of
from vinn.rollout.storage.definitions import begins_with_header, decode
from vinn.rollout.storage.mcap_file import has_footer
from vinn.rollout.storage.stored import StoredMessage, stored_records

_JUMPS_SHOWN = 3


@dataclass(frozen=True)
class RecordedMessage:
    """One message of a recording; `message` has the fields of its definition as attributes."""

    topic: str
    type_name: str
    stamp_ns: int
    """When it was recorded [ns since the epoch], by the receiver's clock; where that was set while
    it was recorded, the jump is taken out: this time never goes back by much."""
    message: Any


@dataclass(frozen=True)
class TimedMessage:
    """One serialised message of a recording."""

    stored: StoredMessage
    stamp_ns: int
    """As in `RecordedMessage`."""


@dataclass(frozen=True)
class RecordingSummary:
    """What a recording says about itself."""

    info: dict[str, str]
    outcome: dict[str, str] | None
    """None: incomplete (the process was killed, or the disk was full), or not of a rollout."""
    message_counts: dict[str, int]
    """By topic."""
    start_ns: int = 0
    """When the first message was recorded [ns since the epoch]; 0: there is none."""
    end_ns: int = 0
    """When the last message was recorded; jumps of the clock are taken out."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Parameters of the nodes at the start, `NODE.PARAMETER` to YAML."""
    jumps: tuple[ClockJump, ...] = ()
    """Where a clock was set while it was recorded."""
    closed: bool = True
    """Whether its writer came to close it."""

    @property
    def messages_lost(self) -> int:
        """How many messages are missing because the disk was too slow."""
        said = (self.outcome or {}).get(LOST_KEY, "0")
        return int(said) if said.isdecimal() else 0

    @property
    def attempts(self) -> int | None:
        """Closings of the gripper begun; None: the recording does not say."""
        said = (self.outcome or {}).get("attempts", "")
        return int(said) if said.isdecimal() else None

    @property
    def ended_by(self) -> str:
        """Why the rollout ended, and whether the recording has everything; for people."""
        if self.outcome is not None:
            reason = self.outcome.get("reason", "incomplete")
        elif self.info:
            reason = "incomplete"
        else:
            reason = "no rollout" if self.closed else "its recorder was killed"
        return f"{reason}, {self.messages_lost} messages lost" if self.messages_lost else reason

    @property
    def duration_s(self) -> float:
        """From the first message to the last; jumps of the clock do not count."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def clock_problem(self) -> str:
        """Where a clock was set, for people; empty: nowhere."""
        shown = "; ".join(str(jump) for jump in self.jumps[:_JUMPS_SHOWN])
        more = len(self.jumps) - _JUMPS_SHOWN
        return f"{shown}; and {more} more" if more > 0 else shown


def read_recording(
    path: Path | str,
    topics: Container[str] | None = None,
    on_jump: Callable[[ClockJump], None] | None = None,
) -> Iterator[RecordedMessage]:
    """Messages in the order they were recorded, of all or of some topics.

    They are decoded by the definitions in the recording itself. A file that was cut off ends with
    its last whole message.

    Args:
        path: any recording (`vinn.rollout.recording_files`).
        topics: those wanted; None: all.
        on_jump: told of each clock that was set meanwhile.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    for timed in timed_messages(path, topics, on_jump):
        stored = timed.stored
        message = decode(stored, Path(path))
        yield RecordedMessage(stored.topic, stored.type.name, timed.stamp_ns, message)


def timed_messages(
    path: Path | str,
    topics: Container[str] | None = None,
    on_jump: Callable[[ClockJump], None] | None = None,
) -> Iterator[TimedMessage]:
    """As `read_recording`, without decoding."""
    clock = RecordingClock()
    for record in stored_records(Path(path), topics):
        if not isinstance(record, StoredMessage):
            continue
        known = len(clock.jumps)
        stamp_ns = _take(clock, record)
        if on_jump is not None:
            for jump in clock.jumps[known:]:
                on_jump(jump)
        if topics is None or record.topic in topics:
            yield TimedMessage(record, stamp_ns)


def summarize_recording(path: Path | str) -> RecordingSummary:
    """What a recording holds and how the rollout ended, without decoding messages.

    Raises:
        DatasetError: not a recording, or damaged inside; names the file.
    """
    path = Path(path)
    info: dict[str, str] = {}
    parameters: dict[str, str] = {}
    outcome: dict[str, str] | None = None
    counts: dict[str, int] = {}
    start_ns, end_ns = 0, 0
    clock = RecordingClock()
    for record in stored_records(path, ()):
        if isinstance(record, StoredMessage):
            end_ns = _take(clock, record)
            start_ns = start_ns or end_ns
            counts[record.topic] = counts.get(record.topic, 0) + 1
        elif record.name == INFO_RECORD:
            info = dict(record.metadata)
        elif record.name == OUTCOME_RECORD:
            outcome = dict(record.metadata)
        elif record.name == PARAMETERS_RECORD:
            parameters |= record.metadata
    jumps, closed = tuple(clock.jumps), is_closed(recording_files(path))
    return RecordingSummary(info, outcome, counts, start_ns, end_ns, parameters, jumps, closed)


def is_closed(recording: RecordingFiles) -> bool:
    """Whether the writer of a recording came to close it.

    Raises:
        DatasetError: a file cannot be read.
    """
    return recording.closed and all(
        file.compressed or file.storage is not Storage.MCAP or has_footer(file.path)
        for file in recording.files
    )


def _take(clock: RecordingClock, stored: StoredMessage) -> int:
    """When a message was recorded, jumps of the clock taken out."""
    stamped = begins_with_header(stored.type)
    stamp_ns = stamp_of(stored.data) if stamped else None
    return clock.take(stored.topic, stored.recorded_ns, stamp_ns)
