"""Whatever a file holds: a dataset, or one line and nothing on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from original_files import write_r3d, write_run
from vinn.demos.store import Dataset
from vinn.errors import DatasetError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.door_opening import read_door_opening
from vinn.ingest.formats.lerobot_export import export_lerobot
from vinn.ingest.formats.lerobot_import import read_lerobot
from vinn.ingest.formats.record3d import read_record3d
from vinn.ingest.formats.rosbag import BagTopics, export_rosbag, read_rosbag
from vinn.ingest.formats.vinn_original import read_original
from vinn.robot.config import CameraMount

TOPICS = BagTopics()
fuzz = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def fails_cleanly(read: object, tmp_path: Path) -> None:
    """Whatever a damaged file holds: a dataset, or one line and nothing on disk."""
    out = tmp_path / "fuzzed-out"
    try:
        write_imported(read, out)  # type: ignore[arg-type]
    except DatasetError as error:
        assert "\n" not in str(error)
        assert not out.exists() and not list(tmp_path.glob(".fuzzed*"))
    else:
        for file in sorted(out.rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()
        out.rmdir()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@fuzz
@given(
    labels=json_values
    | st.dictionaries(
        st.sampled_from(["0.jpg", "1.jpg"]),
        json_values
        | st.lists(st.floats(), min_size=7, max_size=7)
        | st.fixed_dictionaries({"xyz": json_values, "rpy": json_values, "gripper": json_values}),
    )
)
def test_fuzzed_labels(tmp_path: Path, labels: object) -> None:
    folder = tmp_path / "fuzz"
    if not folder.exists():
        write_run(folder, {}, "images", ["0.jpg", "1.jpg"])
    (folder / "labels.json").write_text(json.dumps(labels))
    fails_cleanly(read_original(folder, "x", GripperOrder.OPEN_LOW), tmp_path)
    fails_cleanly(read_door_opening(folder, "x", GripperOrder.OPEN_LOW), tmp_path)


@fuzz
@given(poses=json_values, fps=json_values)
def test_fuzzed_record3d_metadata(tmp_path: Path, poses: object, fps: object) -> None:
    path = write_r3d(tmp_path / "fuzz.r3d", poses, fps)
    fails_cleanly(read_record3d(path, "x", 1.0), tmp_path)


def put(content: object, path: list[object], value: object) -> None:
    """Replace what stands at a path of keys and indices."""
    *way, last = path
    for part in way:
        content = content[part]  # type: ignore[index]
    content[last] = value  # type: ignore[index]


def paths(content: object) -> list[list[object]]:
    """The path of everything in nested dictionaries and lists."""
    inner = content.items() if isinstance(content, dict) else enumerate(content)  # type: ignore[arg-type]
    found: list[list[object]] = []
    for key, value in inner:
        found.append([key])
        if isinstance(value, (dict, list)):
            found += [[key, *path] for path in paths(value)]
    return found


@fuzz
@given(data=st.data(), value=json_values, own=st.booleans())
def test_fuzzed_lerobot_metadata(
    tmp_path: Path, dataset: Dataset, data: st.DataObject, value: object, own: bool
) -> None:
    root = tmp_path / "lerobot"
    if not root.exists():
        export_lerobot(dataset, root)
    files = ["meta/info.json", "meta/vinn.json", "meta/episodes/chunk-000/file-000.parquet"]
    path = root / data.draw(st.sampled_from(files))
    before, notes = path.read_bytes(), (root / files[1]).read_bytes()
    try:
        if path.suffix == ".json":
            content = json.loads(before)
            put(content, data.draw(st.sampled_from(paths(content))), value)
            path.write_text(json.dumps(content))
        else:
            table = pq.read_table(path).to_pydict()
            table[data.draw(st.sampled_from(sorted(table)))] = data.draw(
                st.lists(st.integers() | st.none(), min_size=2, max_size=2)
                | st.lists(st.floats() | st.none(), min_size=2, max_size=2)
                | st.lists(st.text(max_size=5), min_size=2, max_size=2)
                | st.lists(st.lists(st.text(max_size=3), max_size=2), min_size=2, max_size=2)
            )
            try:
                pq.write_table(pa.table(table), path)
            except (pa.ArrowException, OverflowError):
                return
        if not own:
            (root / files[1]).unlink(missing_ok=True)
        fails_cleanly(read_lerobot(root, None, GripperOrder.OPEN_LOW), tmp_path)
    finally:
        (root / files[1]).write_bytes(notes)
        path.write_bytes(before)


@fuzz
@given(data=st.data())
def test_flipped_bytes_anywhere(tmp_path: Path, dataset: Dataset, data: st.DataObject) -> None:
    source = tmp_path / "sources"
    if not source.exists():
        export_lerobot(dataset, source / "lerobot")
        export_rosbag(dataset, source / "bags")
        write_r3d(source / "a.r3d", [[0, 0, 0, 1, 0, 0, 0.1 * i] for i in range(4)])
    files = sorted(path for path in source.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        fails_cleanly(read_lerobot(source / "lerobot", None, GripperOrder.OPEN_LOW), tmp_path)
        bags = read_rosbag(source / "bags", "x", TOPICS, 1.0, GripperOrder.OPEN_LOW, CameraMount())
        fails_cleanly(bags, tmp_path)
        fails_cleanly(read_record3d(source / "a.r3d", "x", 1.0), tmp_path)
    finally:
        path.write_bytes(original)
