"""Names and schemas of LeRobotDataset v3.0, as far as this project writes and reads them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

CODEBASE_VERSION = "v3.0"
CAMERA_KEY = "observation.images.wrist"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
DATA = "data/chunk-000/file-000.parquet"
VIDEO = f"videos/{CAMERA_KEY}/chunk-000/file-000.mp4"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
ACTION_NAMES = ["delta_x", "delta_y", "delta_z", "gripper"]
OWN = "meta/vinn.json"
"""What LeRobot has no place for: names, cameras, provenance, the unit of actions."""


def features(height_px: int, width_px: int, fps: int) -> dict[str, Any]:
    """`features` of info.json."""
    scalars = {
        name: {"dtype": kind, "shape": [1], "names": None}
        for name, kind in (
            ("timestamp", "float32"),
            ("frame_index", "int64"),
            ("episode_index", "int64"),
            ("index", "int64"),
            ("task_index", "int64"),
        )
    }
    return {
        "action": {"dtype": "float32", "shape": [4], "names": ACTION_NAMES},
        CAMERA_KEY: {
            "dtype": "video",
            "shape": [height_px, width_px, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height_px,
                "video.width": width_px,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
            },
        },
        **scalars,
    }


def info(
    episodes: int, frames: int, tasks: int, fps: int, height_px: int, width_px: int
) -> dict[str, Any]:
    """Contents of info.json."""
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": "stretch",
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features(height_px, width_px, fps),
    }


def tasks_table(tasks: list[str]) -> pa.Table:
    """tasks.parquet: pandas reads the task as the index, as LeRobot expects."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    column = {"field_name": "task_index", "name": "task_index", "pandas_type": "int64",
              "numpy_type": "int64", "metadata": None}  # fmt: skip
    index = {"field_name": "task", "name": "task", "pandas_type": "unicode",
             "numpy_type": "object", "metadata": None}  # fmt: skip
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column, index],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
