"""Clocks that were set while something was recorded: found, named, and taken out of the time.

A computer without a battery-backed clock begins in 1970 and jumps when it hears of the time; NTP
and operators set clocks back. Two times tell: when messages were recorded, and their own stamps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BACK_S = 0.2
"""Messages of a topic may be recorded this much out of order."""
SILENCE_S = 30.0
"""A longer time without any message counts as a jump: it was one, or nothing is known of it."""
STAMP_S = 2.0
"""Stamps of a topic may run ahead of, or behind, the time of recording by so much at once."""

_NS = 1e9
_SETTLING_S = 1.0


@dataclass(frozen=True)
class ClockJump:
    """A clock was set while a recording was made."""

    topic: str
    """Whose stamps jump; empty: the recorder's own clock."""
    message: int
    """Of the recording, counted from 0: the first after the jump."""
    by_s: float

    def __str__(self) -> str:
        """For people."""
        whose = f"the stamps on {self.topic} jump" if self.topic else "the recorder's clock jumps"
        silent = "" if self.topic or self.by_s < 0 else ", or nothing was recorded for as long"
        return f"{whose} by {self.by_s:+.3f} s at message {self.message}{silent}"


class RecordingClock:
    """Follows the times of a recording's messages, in the order in which they were recorded."""

    def __init__(self, silence_s: float = SILENCE_S) -> None:
        """Args: the longest time without any message."""
        self._silence_ns = silence_s * _NS
        self._count = 0
        self._newest_ns: int | None = None
        self._newest_of: dict[str, int] = {}
        self._offset_ns = 0
        self._settled_ns = 0
        self._stamps: dict[str, tuple[int, int]] = {}
        """By topic: the last stamp, and when it was first recorded."""
        self.jumps: list[ClockJump] = []

    def take(self, topic: str, recorded_ns: int, stamp_ns: int | None) -> int:
        """The next message.

        Args:
            topic: of the message.
            recorded_ns: when it was recorded.
            stamp_ns: its own stamp; None: it has none.

        Returns:
            When it was recorded, had no clock been set [ns]; where one was, time stands still.
        """
        newest_ns = self._newest_ns
        if newest_ns is not None:
            step_ns = recorded_ns + self._offset_ns - newest_ns
            # Converters write topic after topic; within one, no time goes back by itself.
            back_ns = self._newest_of.get(topic, 0) - recorded_ns - self._offset_ns
            if back_ns > BACK_S * _NS or step_ns > self._silence_ns:
                self.jumps.append(ClockJump("", self._count, step_ns / _NS))
                self._offset_ns -= step_ns
                # Stamps of the same machine jump with it, some of them a moment later.
                self._settled_ns = newest_ns + round(_SETTLING_S * _NS)
        time_ns = recorded_ns + self._offset_ns
        self._newest_ns = time_ns if newest_ns is None else max(newest_ns, time_ns)
        self._newest_of[topic] = max(self._newest_of.get(topic, 0), time_ns)
        if stamp_ns:  # 0: nobody has filled it in
            self._take_stamp(topic, time_ns, stamp_ns)
        self._count += 1
        return time_ns

    def _take_stamp(self, topic: str, time_ns: int, stamp_ns: int) -> None:
        before = self._stamps.get(topic)
        if before is not None and before[0] == stamp_ns:
            return  # said again
        self._stamps[topic] = stamp_ns, time_ns
        if before is None or time_ns < self._settled_ns:
            return
        step_ns = stamp_ns - before[0]
        ahead_ns = step_ns - (time_ns - before[1])
        if step_ns < -BACK_S * _NS or abs(ahead_ns) > STAMP_S * _NS:
            self.jumps.append(ClockJump(topic, self._count, ahead_ns / _NS))


def stamp_of(data: bytes) -> int | None:
    """The stamp of a CDR message that begins with a std_msgs/Header [ns]; None: no such message."""
    if len(data) < 12 or data[0] != 0:
        return None  # cut, or still compressed
    # Four bytes say how it is encoded; the second is odd for little-endian.
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
