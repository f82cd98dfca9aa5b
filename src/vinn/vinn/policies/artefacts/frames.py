"""Writing what every artefact has: the actions and small images of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vinn.demos.frames import encode_jpeg, read_frame
from vinn.demos.store import Dataset
from vinn.policies.artefacts.embedding import frames_of
from vinn.policies.artefacts.manifest import FRAME_COLUMNS
from vinn.policies.augmentation import ORIGINAL, view_frame
from vinn.policies.memory import ActionMemory

THUMBNAIL_SIDE_PX = 128
THUMBNAIL_QUALITY = 85


def write_frames(
    folder: Path, dataset: Dataset, views: Sequence[str] = (ORIGINAL,)
) -> ActionMemory:
    """Write frames.parquet and thumbnails.bin."""
    memory = ActionMemory.of(dataset, views)
    sizes = []
    with (folder / "thumbnails.bin").open("wb") as file:
        for view in views:
            sizes += [file.write(_thumbnail(path, view, key)) for key, path in frames_of(dataset)]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = [
        pa.array([memory.names[row] for row in memory.demonstration_ids]),
        pa.array(memory.frames),
        *(pa.array(memory.camera_delta[:, axis]) for axis in range(3)),
        pa.array(memory.gripper),
        pa.array(offsets, pa.int64()),
        pa.array(sizes, pa.int32()),
    ]
    pq.write_table(pa.table(columns, schema=FRAME_COLUMNS), folder / "frames.parquet")
    return memory


def _thumbnail(path: Path, view: str, key: str) -> bytes:
    frame = view_frame(read_frame(path), view, key)
    height, width = frame.shape[:2]
    shrink = min(1.0, THUMBNAIL_SIDE_PX / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(small, np.uint8), THUMBNAIL_QUALITY)
