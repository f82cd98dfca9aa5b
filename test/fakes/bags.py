"""Recordings as strangers have them: every storage, split, compressed, killed, of any clock."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zstandard
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from numpy.typing import NDArray
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from vinn.rollout.messages import (
    definition,
    header_fields,
    image_fields,
    serialize,
    typestore,
)

SECOND = 10**9
START = 1_700_000_000 * SECOND
IMAGE = "/wrist_camera/image_raw/compressed"
POSE = "/camera_pose"
COMPRESSED, RAW = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
POSE_TYPE = "geometry_msgs/msg/PoseStamped"


@dataclass(frozen=True)
class Said:
    """A message: topic, type, fields (or bytes), and when it was recorded [ns]."""

    topic: str
    type_name: str
    fields: dict[str, Any] | bytes
    recorded_ns: int

    @property
    def cdr(self) -> bytes:
        if isinstance(self.fields, bytes):
            return self.fields
        return serialize(self.type_name, self.fields)


def picture(seed: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)


def encoded(image_rgb: NDArray[np.uint8], suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, image_rgb[:, :, ::-1])[1].tobytes()


def image(seed: int, recorded_ns: int, stamp_ns: int | None = None, topic: str = IMAGE) -> Said:
    stamp_ns = recorded_ns if stamp_ns is None else stamp_ns
    return Said(
        topic, COMPRESSED, image_fields(encoded(picture(seed)), stamp_ns, "camera"), recorded_ns
    )


def pose(position_m: Sequence[float], recorded_ns: int, stamp_ns: int | None = None) -> Said:
    x, y, z = (float(v) for v in position_m)
    header = header_fields(recorded_ns if stamp_ns is None else stamp_ns, "world")
    fields = {
        "header": header,
        "pose": {"position": {"x": x, "y": y, "z": z}, "orientation": {"w": 1.0}},
    }
    return Said(POSE, POSE_TYPE, fields, recorded_ns)


def walk(times_ns: Sequence[int], stamps_ns: Sequence[int] | None = None) -> list[Said]:
    """An image and a pose at each time; the camera goes 1 cm along z in between."""
    said = []
    for i, (at_ns, stamp_ns) in enumerate(zip(times_ns, stamps_ns or times_ns, strict=True)):
        said += [image(i, at_ns, stamp_ns), pose((0.0, 0.0, 0.01 * i), at_ns, stamp_ns)]
    return said


def write_mcap(
    path: Path,
    said: Sequence[Said],
    *,
    compression: CompressionType = CompressionType.NONE,
    chunked: bool = True,
    finish: bool = True,
    behind_ns: int = 0,
    texts: dict[str, str] | None = None,
) -> Path:
    """An MCAP file; `behind_ns`: how far the sender's clock is behind the recorder's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = McapWriter(file, compression=compression, use_chunking=chunked, chunk_size=4096)
        writer.start(profile="ros2", library="test")
        channels: dict[str, int] = {}
        for each in said:
            if each.topic not in channels:
                text = (texts or {}).get(each.type_name, definition(each.type_name))
                schema = writer.register_schema(each.type_name, "ros2msg", text.encode())
                channels[each.topic] = writer.register_channel(each.topic, "cdr", schema)
            at_ns = each.recorded_ns
            writer.add_message(channels[each.topic], at_ns, each.cdr, at_ns - behind_ns)
        if finish:
            writer.finish()
    return path


def write_bag(
    path: Path,
    said: Sequence[Said],
    storage: StoragePlugin = StoragePlugin.MCAP,
    mode: CompressionMode | None = None,
) -> Path:
    """A directory of `ros2 bag record`."""
    bag = Writer(path, version=9, storage_plugin=storage)
    if mode is not None:
        bag.set_compression(mode, CompressionFormat.ZSTD)
    with bag:
        to = {
            each.topic: bag.add_connection(
                each.topic,
                each.type_name,
                msgdef=definition(each.type_name),
                # rosbags before 0.11.4 refuses a type whose hash is not its own.
                rihs01=typestore().hash_rihs01(each.type_name),
            )
            for each in {each.topic: each for each in said}.values()
        }
        for each in said:
            bag.write(to[each.topic], each.recorded_ns, each.cdr)
    return path


def split_bag(path: Path, said: Sequence[Said], parts: int, metadata: bool) -> Path:
    """Files NAME_0, NAME_1, ... _10, ...; with metadata, or without."""
    whole = write_bag(path, said)
    (whole / f"{path.name}.mcap").unlink()
    ends = np.linspace(0, len(said), parts + 1).astype(int)
    names = [f"{path.name}_{number}.mcap" for number in range(parts)]
    for name, begin, end in zip(names, ends[:-1], ends[1:], strict=True):
        write_mcap(path / name, said[begin:end])
    text = (path / "metadata.yaml").read_text()
    before = f"    - {path.name}.mcap\n" if f"    - {path.name}.mcap\n" in text else None
    assert before or f"- {path.name}.mcap" in text
    lines = [line for line in text.splitlines() if line.strip() != f"- {path.name}.mcap"]
    place = next(i for i, line in enumerate(lines) if "relative_file_paths" in line)
    lines[place + 1 : place + 1] = [f"  - {name}" for name in names]
    (path / "metadata.yaml").write_text("\n".join(lines) + "\n")
    if not metadata:
        (path / "metadata.yaml").unlink()
    return path


def without_metadata(bag: Path) -> Path:
    (bag / "metadata.yaml").unlink()
    return bag


def zipped(path: Path) -> Path:
    target = path.with_name(f"{path.name}.zstd")
    target.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    path.unlink()
    return target


def killed_sqlite(path: Path, said: Sequence[Said]) -> Path:
    """What a recorder leaves that is killed while it writes to sqlite3: messages in its log."""
    work = write_bag(path.with_name("work") / path.name, said[:1], StoragePlugin.SQLITE3)
    database = sqlite3.connect(work / f"{path.name}.db3")
    database.execute("PRAGMA journal_mode=WAL")
    topics = {name: number for number, name in database.execute("SELECT id, name FROM topics")}
    for each in said[1:]:
        if each.topic not in topics:
            number = len(topics) + 1
            row = (number, each.topic, each.type_name, "cdr", "", "")
            database.execute("INSERT INTO topics VALUES (?, ?, ?, ?, ?, ?)", row)
            topics[each.topic] = number
        row = (topics[each.topic], each.recorded_ns, each.cdr)
        database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    database.commit()
    path.mkdir(parents=True)
    for file in work.glob("*.db3*"):
        shutil.copy(file, path / file.name.replace(".db3", "_0.db3"))
    assert (path / f"{path.name}_0.db3-wal").stat().st_size > 1000
    database.close()
    return path


def _file_of(bag: Path, suffix: str) -> Path:
    return next(path for path in bag.iterdir() if path.name.endswith(suffix))


MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3
BY_FILE, BY_MESSAGE = CompressionMode.FILE, CompressionMode.MESSAGE
KINDS: dict[str, Callable[[Path, Sequence[Said]], Path]] = {
    "directory": lambda path, said: write_bag(path, said),
    "directory of sqlite3": lambda path, said: write_bag(path, said, SQLITE),
    "directory without metadata": lambda path, said: without_metadata(write_bag(path, said)),
    "sqlite3 without metadata": lambda path, said: without_metadata(write_bag(path, said, SQLITE)),
    "MCAP file": lambda path, said: _file_of(write_bag(path, said), ".mcap"),
    "sqlite3 file": lambda path, said: _file_of(write_bag(path, said, SQLITE), ".db3"),
    "MCAP with lz4": lambda path, said: write_mcap(
        path / "x.mcap", said, compression=CompressionType.LZ4
    ),
    "MCAP with zstd": lambda path, said: write_mcap(
        path / "x.mcap", said, compression=CompressionType.ZSTD
    ),
    "MCAP without chunks": lambda path, said: write_mcap(path / "x.mcap", said, chunked=False),
    "zipped MCAP file": lambda path, said: zipped(write_mcap(path / "x.mcap", said)),
    "zipped sqlite3 file": lambda path, said: zipped(
        _file_of(write_bag(path, said, SQLITE), ".db3")
    ),
    "sqlite3 compressed by file": lambda path, said: write_bag(path, said, SQLITE, BY_FILE),
    "sqlite3 compressed by message": lambda path, said: write_bag(path, said, SQLITE, BY_MESSAGE),
    "MCAP compressed by file": lambda path, said: write_bag(path, said, MCAP, BY_FILE),
    "compressed by file, no metadata": lambda path, said: without_metadata(
        write_bag(path, said, SQLITE, BY_FILE)
    ),
    "compressed by message, no metadata": lambda path, said: without_metadata(
        write_bag(path, said, SQLITE, BY_MESSAGE)
    ),
    "split": lambda path, said: split_bag(path, said, 12, metadata=True),
    "split without metadata": lambda path, said: split_bag(path, said, 12, metadata=False),
    "killed": lambda path, said: (
        write_mcap(path / f"{path.name}_0.mcap", said, chunked=False, finish=False).parent
    ),
    "killed with sqlite3": killed_sqlite,
    "file of another name": lambda path, said: write_mcap(path / "no-ending", said),
}
"""Every way in which the same messages may lie on disk."""
