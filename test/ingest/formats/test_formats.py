from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vinn.demos.frames import encode_jpeg, read_frame
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.errors import DatasetError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.door_opening import moved_frames, read_door_opening, rotations
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


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 4, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    for number, length in enumerate((3, 5)):
        meta = DemonstrationMeta(
            name=f"demo-{number}",
            task=f"task {number % 2}",
            camera=CameraInfo(name="wrist", width_px=64, height_px=48, fx_px=50.0),
            frame_rate_hz=4.0,
            provenance={"seed": number, "where": "küche"},
        )
        delta = rng.normal(0, 0.02, (length, 3)).astype(np.float32)
        write_demonstration(
            tmp_path / "own",
            meta,
            [picture(10 * number + i) for i in range(length)],
            delta,
            rng.integers(0, 4, length),
        )
    return Dataset.open(tmp_path / "own")


def assert_same(found: Dataset, expected: Dataset, max_pixel_error: float) -> None:
    for own, other in zip(expected.demonstrations, found.demonstrations, strict=True):
        assert own.meta == other.meta
        np.testing.assert_array_equal(own.camera_delta, other.camera_delta)
        np.testing.assert_array_equal(own.gripper, other.gripper)
        for a, b in zip(own.frame_paths, other.frame_paths, strict=True):
            error = np.abs(read_frame(a).astype(float) - read_frame(b))
            assert error.mean() <= max_pixel_error


def test_lerobot_round_trip(dataset: Dataset, tmp_path: Path) -> None:
    export_lerobot(dataset, tmp_path / "lerobot")
    assert write_imported(read_lerobot(tmp_path / "lerobot", None, None), tmp_path / "back") == 2
    # H.264 at 4:2:0 and a second JPEG.
    assert_same(Dataset.open(tmp_path / "back"), dataset, max_pixel_error=4.0)


def test_lerobot_without_our_notes_keeps_actions_and_tasks(
    dataset: Dataset, tmp_path: Path
) -> None:
    export_lerobot(dataset, tmp_path / "lerobot")
    (tmp_path / "lerobot/meta/vinn.json").unlink()
    with pytest.raises(DatasetError, match="--gripper-order"):
        write_imported(read_lerobot(tmp_path / "lerobot", None, None), tmp_path / "back")
    found = list(read_lerobot(tmp_path / "lerobot", None, GripperOrder.OPEN_LOW))
    for own, other in zip(dataset.demonstrations, found, strict=True):
        assert other.meta.task == own.meta.task
        assert other.meta.frame_rate_hz == own.meta.frame_rate_hz
        np.testing.assert_allclose(other.camera_delta, own.camera_delta, atol=1e-7)
        assert len(list(other.frames_rgb)) == len(own)


def test_lerobot_metadata_adds_up(dataset: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "lerobot"
    export_lerobot(dataset, root)
    info = json.loads((root / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 8, 2)
    stats = json.loads((root / "meta/stats.json").read_text())
    actions = np.concatenate([d.camera_delta for d in dataset.demonstrations])
    np.testing.assert_allclose(stats["action"]["mean"][:3], actions.mean(0), atol=1e-6)
    assert np.shape(stats["observation.images.wrist"]["mean"]) == (3, 1, 1)


def test_lerobot_statistics_are_those_of_the_frames(dataset: Dataset, tmp_path: Path) -> None:
    """Quantiles too, for every episode and feature: lerobot 0.6 joins them by the first's names."""
    root = tmp_path / "lerobot"
    export_lerobot(dataset, root)
    overall = json.loads((root / "meta/stats.json").read_text())
    episodes = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    names = {f"stats/{feature}/{kind}" for feature in overall for kind in overall[feature]}
    camera = "observation.images.wrist"
    parts = [(d,) for d in dataset.demonstrations]
    for stats, demonstrations in (
        *zip(map(nested, episodes), parts, strict=True),
        (overall, dataset.demonstrations),
    ):
        assert names == {f"stats/{f}/{k}" for f in stats for k in stats[f]}
        actions = np.concatenate([d.camera_delta for d in demonstrations])
        pixels = np.concatenate([read_frame(p) for d in demonstrations for p in d.frame_paths])
        for kind, expected in (
            *((f"q{int(100 * q):02d}", q) for q in (0.01, 0.1, 0.5, 0.9, 0.99)),
            ("min", 0.0),
            ("max", 1.0),
        ):
            exact = np.quantile(actions, expected, axis=0)
            np.testing.assert_allclose(stats["action"][kind][:3], exact, atol=1e-6)
            level = np.quantile(pixels.reshape(-1, 3), expected, axis=0, method="inverted_cdf")
            np.testing.assert_allclose(np.ravel(stats[camera][kind]) * 255, level, atol=1e-6)
        for kind, expected in (("mean", np.mean), ("std", np.std)):
            value = expected(pixels.reshape(-1, 3) / 255, axis=0)
            np.testing.assert_allclose(np.ravel(stats[camera][kind]), value, atol=1e-9)
            assert np.shape(stats[camera][kind]) == (3, 1, 1)
        assert stats[camera]["count"] == stats["action"]["count"] == [len(actions)]


def nested(row: dict) -> dict:
    """The statistics in a row of `meta/episodes`, by feature and kind."""
    found: dict = {}
    for name, value in row.items():
        if name.startswith("stats/"):
            _, feature, kind = name.split("/")
            found.setdefault(feature, {})[kind] = value
    return found


def test_what_lerobot_adds_to_an_export_is_imported_with_it(
    dataset: Dataset, tmp_path: Path
) -> None:
    """The added episode is not this project's: its gripper's direction has to be said."""
    root = tmp_path / "lerobot"
    export_lerobot(dataset, root)
    notes = json.loads((root / "meta/vinn.json").read_text())
    notes["demonstrations"] = notes["demonstrations"][:1]
    (root / "meta/vinn.json").write_text(json.dumps(notes))
    with pytest.raises(DatasetError, match="episode 1: say the gripper's direction"):
        write_imported(read_lerobot(root, None, None), tmp_path / "back")
    first, second = read_lerobot(root, None, GripperOrder.OPEN_LOW)
    assert first.meta == dataset.demonstrations[0].meta
    assert second.meta.name == "episode-000001"
    np.testing.assert_array_equal(first.gripper, dataset.demonstrations[0].gripper)


def test_rosbag_round_trip_is_exact(dataset: Dataset, tmp_path: Path) -> None:
    export_rosbag(dataset, tmp_path / "bags")
    found = read_rosbag(tmp_path / "bags", "x", TOPICS, 1.0, GripperOrder.OPEN_LOW, CameraMount())
    assert write_imported(found, tmp_path / "back") == 2
    back = Dataset.open(tmp_path / "back")
    assert_same(back, dataset, max_pixel_error=0.0)
    # The JPEG files themselves are the same.
    assert back.hash == dataset.hash


def write_run(folder: Path, labels: object, images: str, names: list[str]) -> None:
    (folder / images).mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / images / name).write_bytes(encode_jpeg(picture(number)))
    (folder / "labels.json").write_text(json.dumps(labels))


def test_original_handle_layout(tmp_path: Path) -> None:
    names = ["frame2.jpg", "frame10.jpg", "frame1.jpg"]
    labels = {name: [0.0, 3.0, 4.0, 0, 0, 0, g] for name, g in zip(names, (1, 0, 3), strict=True)}
    write_run(tmp_path / "train_all" / "run7", labels, "images_linear", names)
    with pytest.raises(DatasetError, match="--gripper-order"):
        list(read_original(tmp_path / "train_all", "door", None))
    (found,) = read_original(tmp_path / "train_all", "door", GripperOrder.OPEN_HIGH)
    assert found.meta.name == "run7" and found.meta.action_scale is ActionScale.UNIT
    np.testing.assert_allclose(found.camera_delta, [[0, 0.6, 0.8]] * 3)
    # In order frame1, frame2, frame10, and turned around: 3 was open.
    np.testing.assert_array_equal(found.gripper, [0, 2, 3])
    first = next(iter(found.frames_rgb)).astype(float)
    assert np.abs(first - picture(2)).mean() < 4


def test_original_push_layout(tmp_path: Path) -> None:
    write_run(tmp_path / "r", {"0.jpg": [[0, 0, 2]], "1.jpg": [[0, 0, 0]]}, "images",
              ["0.jpg", "1.jpg"])  # fmt: skip
    (found,) = read_original(tmp_path, "push", None)
    np.testing.assert_array_equal(found.camera_delta, [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found.gripper, [0, 0])


def test_door_opening_deltas_are_in_the_frame_of_each_image(tmp_path: Path) -> None:
    names = [f"{i}.jpg" for i in range(4)]
    yaw = math.pi / 2
    labels = {
        "0.jpg": {"xyz": [0, 0, 0], "rpy": [0, 0, yaw], "gripper": 1.0},
        "1.jpg": {"xyz": [0.05, 0, 0], "rpy": [0, 0, yaw], "gripper": 1.0},
        "2.jpg": {"xyz": [0.051, 0, 0], "rpy": [0, 0, yaw], "gripper": 1.0},
        "3.jpg": {"xyz": [0.05, 0, 0.02], "rpy": [0, 0, yaw], "gripper": 0.1},
    }
    write_run(tmp_path / "run", labels, "images", names)
    (found,) = read_door_opening(tmp_path, "door", GripperOrder.OPEN_HIGH)
    # Frame 2 hardly moved. World x is -y of a frame turned by 90 degrees about z.
    assert found.meta.provenance["frames"] == [0, 1, 3]
    np.testing.assert_allclose(found.camera_delta, [[0, -0.05, 0], [0, 0, 0.02]], atol=1e-12)
    np.testing.assert_array_equal(found.gripper, [0, 3])


def test_slow_motion_is_not_lost_by_the_small_step_filter() -> None:
    xyz = np.outer(np.arange(101) * 0.00101, [1.0, 0, 0])
    used = moved_frames(xyz, np.zeros((101, 3)), np.zeros(101))
    assert np.diff(used).tolist() == [10] * 10


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_rpy_is_rotations_about_fixed_axes(angles: list[float]) -> None:
    scipy = pytest.importorskip("scipy.spatial.transform")
    expected = scipy.Rotation.from_euler("xyz", angles).as_matrix()
    np.testing.assert_allclose(rotations(np.array([angles]))[0], expected, atol=1e-12)


def write_r3d(
    path: Path,
    poses: object,
    fps: object = 2,
    extra: str | None = None,
    stamps: list[object] | None = None,
) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        notes = {} if stamps is None else {"frameTimestamps": stamps}
        archive.writestr("metadata", json.dumps({"poses": poses, "fps": fps, **notes}))
        for i in range(len(poses) if isinstance(poses, list) else 0):
            archive.writestr(f"rgbd/{i}.jpg", encode_jpeg(picture(i)))
        if extra is not None:
            archive.writestr(extra, b"x")
    return path


def test_record3d_axes_and_rate(tmp_path: Path) -> None:
    # ARKit looks along -z with y up: 2 cm towards -z is 2 cm forward.
    poses = [[0, 0, 0, 1, 0, 0.01 * (i // 2), -0.01 * i] for i in range(5)]
    found = next(reader := read_record3d(write_r3d(tmp_path / "a.r3d", poses), "door", 1.0))
    np.testing.assert_allclose(found.camera_delta, [[0, -0.01, 0.02]] * 2, atol=1e-12)
    assert len(list(found.frames_rgb)) == 2 and found.meta.frame_rate_hz == 1.0
    assert list(reader) == []


def test_record3d_goes_by_the_frames_own_times(tmp_path: Path) -> None:
    """The phone slows down after a second; and a rate that does not divide the frame rate."""
    stamps = [*np.arange(30) / 30, *(1 + np.arange(20) / 10)]
    poses = [[0, 0, 0, 1, 0, 0, -float(t)] for t in stamps]
    path = write_r3d(tmp_path / "a.r3d", poses, 30, stamps=[100 + t for t in stamps])
    (found,) = read_record3d(path, "door", 5.0)
    np.testing.assert_allclose(found.camera_delta, [[0, 0, 0.2]] * 14, atol=1e-9)
    steady = [[0, 0, 0, 1, 0, 0, -0.01 * i] for i in range(61)]
    (found,) = read_record3d(write_r3d(tmp_path / "b.r3d", steady, 30), "door", 4.0)
    assert len(found.camera_delta) == 8
    np.testing.assert_allclose(found.camera_delta.sum(0), [0, 0, 0.6], atol=1e-9)
    for stamps in ([0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 2.0, 1.0], ["x", 1, 2]):
        bad = write_r3d(tmp_path / "c.r3d", poses[:3], 30, stamps=stamps)
        with pytest.raises(DatasetError, match="frameTimestamps"):
            list(read_record3d(bad, "door", 5.0))


@pytest.mark.parametrize("rotate_deg", [0, 90, 180, 270])
def test_record3d_turns_pictures_and_actions_together(tmp_path: Path, rotate_deg: int) -> None:
    """The phone moves to where its picture's bright corner is, however it is turned."""
    # ARKit's y is up: towards +x and -y of the world is right and down in the picture.
    poses = [[0, 0, 0, 1, 0.02 * i, -0.01 * i, 0.0] for i in range(3)]
    image = np.zeros((40, 64, 3), np.uint8)
    image[30:, 48:] = 255
    path = tmp_path / "a.r3d"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps({"poses": poses, "fps": 1}))
        for i in range(3):
            archive.writestr(f"rgbd/{i}.jpg", encode_jpeg(image))
    found = next(reader := read_record3d(path, "door", 1.0, rotate_deg))
    turned = next(iter(found.frames_rgb))
    assert list(reader) == []
    assert turned.shape[:2] == ((64, 40) if rotate_deg % 180 else (40, 64))
    assert (found.meta.camera.height_px, found.meta.camera.width_px) == turned.shape[:2]
    rows, columns = np.nonzero(turned[..., 0] > 128)
    centre = np.array([columns.mean() - turned.shape[1] / 2, rows.mean() - turned.shape[0] / 2])
    for delta in found.camera_delta:
        assert np.sign(delta[:2]).tolist() == np.sign(centre).tolist()
        assert np.linalg.norm(delta) == pytest.approx(np.hypot(0.02, 0.01))
    assert (abs(found.camera_delta[0][0]) > 0.015) == (rotate_deg % 180 == 0)
    with pytest.raises(DatasetError, match="rotate: 45; allowed: 0, 90, 180, 270"):
        list(read_record3d(path, "door", 1.0, 45))


def test_record3d_refusals(tmp_path: Path) -> None:
    still = [[0, 0, 0, 1, 0, 0, 0]] * 4
    moving = [[0, 0, 0, 1, 0, 0, 0.1 * i] for i in range(4)]
    for name, path, message in (
        ("still", write_r3d(tmp_path / "1.r3d", still), "poses are the same"),
        ("escape", write_r3d(tmp_path / "2.r3d", moving, extra="../../evil"), "leads out"),
        ("absolute", write_r3d(tmp_path / "3.r3d", moving, extra="/etc/evil"), "leads out"),
        ("quaternion", write_r3d(tmp_path / "4.r3d", [[1, 1, 1, 1, 0, 0, i] for i in range(4)]),
         "quaternion"),
        ("fps", write_r3d(tmp_path / "5.r3d", moving, fps=0), "fps"),
    ):  # fmt: skip
        with pytest.raises(DatasetError, match=message):
            write_imported(read_record3d(path, "x", 1.0), tmp_path / f"out-{name}")
        assert not (tmp_path / f"out-{name}").exists()
    assert not list(tmp_path.glob(".*")) and not (tmp_path.parent / "evil").exists()


def test_nothing_is_left_when_a_later_demonstration_is_bad(tmp_path: Path) -> None:
    write_run(tmp_path / "in" / "a", {"0.jpg": [[0, 0, 1]]}, "images", ["0.jpg"])
    write_run(tmp_path / "in" / "b", {"0.jpg": [["x", 0, 1]]}, "images", ["0.jpg"])
    with pytest.raises(DatasetError, match=r"b/labels\.json"):
        write_imported(read_original(tmp_path / "in", "push", None), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_a_label_may_not_name_a_file_elsewhere(tmp_path: Path) -> None:
    write_run(tmp_path / "in", {"../secret.jpg": [[0, 0, 1]]}, "images", [])
    (tmp_path / "in" / "secret.jpg").write_bytes(encode_jpeg(picture(0)))
    with pytest.raises(DatasetError, match="plain file name"):
        list(read_original(tmp_path, "push", None))


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
