"""Recordings of processes that were killed, made whole for every reader.

A recording that nobody closed has neither footer nor index, and a directory of `ros2 bag record` no
`metadata.yaml`; our own reader takes both as they are, `ros2 bag` and others want them. The repair
copies all whole records into an indexed file. It adds no outcome, so the recording stays marked as
incomplete.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcap.records import Message

from vinn.demos.files import atomic_path
from vinn.errors import DatasetError
from vinn.rollout.recording_files import Storage, recording_files
from vinn.rollout.storage.indexed import write_indexed
from vinn.rollout.storage.mcap_file import has_footer, has_index, mcap_records
from vinn.rollout.storage.rosbag2_metadata import write_metadata
from vinn.rollout.storage.sqlite_file import merge_log
from vinn.rollout.storage.stored import StoredMessage, stored_records

REPAIR_RECORD = "vinn_rollout_repair"
"""MCAP metadata of a repaired recording: bytes of the original, messages kept."""


@dataclass(frozen=True)
class Repair:
    """What a repair did."""

    path: Path
    """The recording that is whole now."""
    messages: int
    already_whole: bool
    """Nothing had to be done."""


def repair_recording(path: Path, keep: bool = False) -> Repair:
    """Index a recording that was cut off or has no index; `NAME.mcap.partial` becomes `NAME.mcap`.

    Args:
        path: any recording, cut off or whole; a whole one is left alone.
        keep: leave the cut file where it is (only where its name ends in `.partial`).

    Raises:
        DatasetError: not a recording, damaged inside, without a message, or the goal exists.
    """
    recording = recording_files(path)
    repairs = [
        _repair_file(file.path, keep)
        for file in recording.files
        if file.storage is Storage.MCAP and not file.compressed
    ]
    if not path.is_dir() and repairs:
        return repairs[0]
    merged = [
        merge_log(file.path)
        for file in recording.files
        if file.storage is Storage.SQLITE3 and not file.compressed
    ]
    whole = all(repair.already_whole for repair in repairs) and not any(merged)
    messages = sum(isinstance(r, StoredMessage) for r in stored_records(path, ()))
    if path.is_dir() and not recording.closed:
        write_metadata(recording)
        whole = False
    return Repair(path, messages, already_whole=whole)


def _repair_file(path: Path, keep: bool) -> Repair:
    partial = path.name.endswith(".mcap.partial")
    messages = sum(isinstance(record, Message) for record in mcap_records(path))
    finished = has_footer(path)
    if finished and has_index(path) and not partial:
        return Repair(path, messages, already_whole=True)
    if messages == 0:
        raise DatasetError(f"{path}: holds no whole message; there is nothing to repair")
    target = path.with_name(path.name.removesuffix(".partial"))
    if partial and target.exists():
        raise DatasetError(f"{target}: exists already; {path.name} was not repaired")
    cut = {"original_bytes": str(path.stat().st_size), "messages": str(messages)}
    try:
        with atomic_path(target, DatasetError) as temporary:
            copied = write_indexed(path, temporary, {} if finished else {REPAIR_RECORD: cut})
            if copied != messages:
                raise DatasetError(f"{path}: {messages} messages, but {copied} in the copy; kept")
        if partial and not keep:
            path.unlink()
    except LookupError as error:
        raise DatasetError(f"{path}: damaged: a message without channel or definition") from error
    return Repair(target, messages, already_whole=False)
