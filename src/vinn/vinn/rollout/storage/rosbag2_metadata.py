"""`metadata.yaml` of a recording whose recorder was killed before it wrote one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from vinn.demos.files import atomic_file
from vinn.errors import DatasetError
from vinn.rollout.recording_files import METADATA, RecordingFiles
from vinn.rollout.storage.stored import StoredMessage, stored_records, stored_topics

VERSION: Literal[8] = 8
"""The newest that ROS 2 Humble reads: from 9 on, `offered_qos_profiles` is a list, which its parser
refuses."""


def write_metadata(recording: RecordingFiles) -> Path:
    """Write `metadata.yaml` into a directory that lacks it.

    Raises:
        DatasetError: the recording is damaged, or the file cannot be written.
    """
    counts: dict[str, int] = {}
    times: list[int] = []
    for record in stored_records(recording.path, ()):
        if isinstance(record, StoredMessage):
            counts[record.topic] = counts.get(record.topic, 0) + 1
            times = [min([*times, record.recorded_ns]), max([*times, record.recorded_ns])]
    start_ns, end_ns = times or (0, 0)
    compressed = any(file.compressed for file in recording.files)
    span: dict[str, Any] = {
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "duration": {"nanoseconds": end_ns - start_ns},
        "message_count": sum(counts.values()),
    }
    content = {
        "version": VERSION,
        "storage_identifier": recording.files[0].storage.value,
        **span,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic,
                    "type": kind.name,
                    "serialization_format": kind.encoding,
                    "offered_qos_profiles": "",
                    "type_description_hash": "",
                },
                "message_count": counts.get(topic, 0),
            }
            for topic, kind in stored_topics(recording.path).items()
        ],
        "compression_format": "zstd" if compressed else "",
        "compression_mode": "FILE" if compressed else "",
        "relative_file_paths": [file.path.name for file in recording.files],
        "custom_data": None,
        "ros_distro": "humble",
    }
    path = recording.path / METADATA
    with atomic_file(path, DatasetError) as file:
        text = yaml.safe_dump({"rosbag2_bagfile_information": content}, sort_keys=False)
        file.write(text.encode())
    return path
