"""One MCAP file per rollout, which a killed process leaves readable.

Without chunks, and with a flush after every message, whatever was written is in the hands of the
operating system and survives the process. The file is called `NAME.mcap.partial` until it is
closed; it is then written anew with chunks and an index, which others' readers want. A full disk
never disturbs the rollout: recording ends, `error` says why, and the file stays partial. It ends
before the disk is full, so that others can still write.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mcap.writer import Writer

from vinn.errors import DatasetError
from vinn.rollout.messages import definition, serialize
from vinn.rollout.storage.indexed import write_indexed

INFO_RECORD = "vinn_rollout"
"""MCAP metadata written first: what this rollout is."""
OUTCOME_RECORD = "vinn_rollout_outcome"
"""MCAP metadata written last: how it ended. Missing: the recording is incomplete."""
PARAMETERS_RECORD = "vinn_parameters"
"""MCAP metadata: parameters of the nodes, `NODE.PARAMETER` to YAML; there may be several."""
MIN_FREE_BYTES = 512 * 2**20
"""A recording ends before the disk has less room than this."""
LOST_KEY = "messages_lost"
"""Key of the outcome: how many messages a disk was too slow for; missing: none."""
_GUARD_EVERY_BYTES = 8 * 2**20


class RolloutRecorder:
    """Records channels as rosbag2 does: CDR messages with their ros2msg definitions.

    Thread-safe. `write` does not raise for anything the disk does; look at `error`.
    """

    def __init__(
        self,
        path: Path | str,
        info: Mapping[str, str] | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        """Create `path` + ".partial"; directories are made.

        Args:
            path: where the finished recording will be, `*.mcap`.
            info: what the rollout is (session, name, policy, ...), kept in the file.
            min_free_bytes: what must stay free on the disk; 0: may be filled.

        Raises:
            DatasetError: the file cannot be created, `path` exists or does not end in .mcap, or
                the disk has too little room.
        """
        self.path = Path(path)
        self._partial = self.path.with_name(self.path.name + ".partial")
        if self.path.suffix != ".mcap":
            raise DatasetError(f"{self.path}: cannot record; allowed: a name that ends in .mcap")
        if self.path.exists():
            raise DatasetError(f"{self.path}: cannot record: it exists already")
        self._lock = threading.Lock()
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._log_ns = 0
        self._closed = False
        self._min_free_bytes = min_free_bytes
        self._unguarded_bytes = 0
        self.error: str | None = None
        """Why recording ended early; None: it did not."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shortage = self._shortage()
            if shortage:
                raise DatasetError(f"{self._partial}: cannot record ({shortage})")
            self._file = self._partial.open("wb")
            # A chunk would be lost with the process that fills it.
            self._writer = Writer(self._file, use_chunking=False)
            self._writer.start(profile="ros2", library="vinn")
            self._writer.add_metadata(INFO_RECORD, dict(info or {}))
            self._file.flush()
        except OSError as error:
            raise DatasetError(f"{self._partial}: cannot record ({error.strerror})") from error

    def write(self, topic: str, type_name: str, cdr: bytes, stamp_ns: int) -> None:
        """Append one serialised message, taken at `stamp_ns` [ns since the epoch].

        Raises:
            KeyError: `type_name` is not a known message type.
        """
        with self._lock:
            if self._closed or self.error is not None:
                return
            schema = definition(type_name)
            try:
                channel = self._channel(topic, type_name, schema)
                # Readers that follow the index see messages in the order of these times.
                self._log_ns = max(self._log_ns, stamp_ns)
                self._writer.add_message(channel, self._log_ns, cdr, stamp_ns)
                self._file.flush()
                self._guard(len(cdr))
            except OSError as error:
                self._fail(error)

    def write_message(
        self, topic: str, type_name: str, fields: Mapping[str, Any], stamp_ns: int
    ) -> None:
        """Append one message given by its (nested) field values; the rest is zero or empty.

        Raises:
            KeyError: no such message type or field.
        """
        self.write(topic, type_name, serialize(type_name, fields), stamp_ns)

    def write_parameters(self, values: Mapping[str, str]) -> None:
        """Keep parameters of nodes, `NODE.PARAMETER` to YAML; may be called several times."""
        with self._lock:
            if self._closed or self.error is not None:
                return
            try:
                self._writer.add_metadata(PARAMETERS_RECORD, dict(values))
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self, outcome: Mapping[str, str]) -> Path:
        """Write how the rollout ended, finish the file, and give it its name.

        Returns:
            Where the recording is: `path`, or the partial file if it could not be finished.
        """
        with self._lock:
            if self._closed:
                return self.path if self.error is None else self._partial
            self._closed = True
            try:
                if self.error is None:
                    self._writer.add_metadata(OUTCOME_RECORD, dict(outcome))
                    self._writer.finish()
                self._file.close()
                if self.error is None:
                    self._index()
                    self._partial.replace(self.path)
            except OSError as error:
                self._fail(error)
            return self.path if self.error is None else self._partial

    def __enter__(self) -> RolloutRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave an unclosed recording partial: nobody said how it ended."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._file.close()

    def _index(self) -> None:
        """Give the finished file chunks and an index; where the disk refuses, it does without."""
        indexed = self.path.with_name(f".{self.path.name}.indexed")
        try:
            room = shutil.disk_usage(self.path.parent).free - self._partial.stat().st_size
            if room >= self._min_free_bytes:
                write_indexed(self._partial, indexed)
                indexed.replace(self._partial)
        except (OSError, DatasetError):
            indexed.unlink(missing_ok=True)

    def _channel(self, topic: str, type_name: str, schema: str) -> int:
        if topic not in self._channels:
            if type_name not in self._schemas:
                self._schemas[type_name] = self._writer.register_schema(
                    type_name, "ros2msg", schema.encode()
                )
            self._channels[topic] = self._writer.register_channel(
                topic, "cdr", self._schemas[type_name], {"offered_qos_profiles": ""}
            )
        return self._channels[topic]

    def _guard(self, written_bytes: int) -> None:
        """End the recording before the disk is full; asks the disk once in a while."""
        self._unguarded_bytes += written_bytes
        if self._unguarded_bytes < _GUARD_EVERY_BYTES:
            return
        self._unguarded_bytes = 0
        shortage = self._shortage()
        if shortage:
            self.error = f"{self._partial}: recording ended ({shortage})"

    def _shortage(self) -> str:
        """What the disk lacks; empty: nothing."""
        free_bytes = shutil.disk_usage(self.path.parent).free
        if free_bytes >= self._min_free_bytes:
            return ""
        return (
            f"{free_bytes / 2**20:.0f} MiB free on the disk; allowed: at least "
            f"{self._min_free_bytes / 2**20:.0f} MiB"
        )

    def _fail(self, error: OSError) -> None:
        self.error = f"{self._partial}: recording ended ({error.strerror})"
