from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vinn.demos.types import GripperState
from vinn.errors import ArtefactError, ConfigError
from vinn.ingest.clip import ClipFolder
from vinn.ingest.decode import SampledFrame
from vinn.ingest.gripper.aruco import ArucoGripper
from vinn.ingest.gripper.classifier import (
    GripperClassifier,
    confusion,
    most_probable_path,
    train_classifier,
)
from vinn.ingest.lenses.camera_profile import find_profile
from vinn.ingest.lenses.lens import Lens

CROP = (0.0, 0.3, 1.0, 1.0)


def gripper_picture(state: int, rng: np.random.Generator) -> np.ndarray:
    """Two dark fingers on a random background; the state is their distance."""
    small = rng.integers(60, 255, (6, 8, 3), np.uint8)
    image = cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC)
    half = (54, 38, 22, 6)[state] + rng.integers(-4, 5)
    for side in (-1, 1):
        x = 80 + side * half
        cv2.line(image, (80 + side * 60, 119), (int(x), 60), (20, 20, 25), 9)
    return image


def clips(count: int, seed: int) -> list[tuple[list[np.ndarray], list[int]]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        states = [0] * int(rng.integers(3, 6)) + [1, 1, 2, 3, 3, 3, 2, 1, 0]
        found.append(([gripper_picture(s, rng) for s in states], states))
    return found


def test_classifier_learns_from_two_hundred_labels(tmp_path: Path) -> None:
    train = clips(16, 0)
    classifier = train_classifier(train, CROP)
    matrix = np.zeros((4, 4), int)
    for images, states in clips(10, 1):
        matrix += confusion(states, classifier.smoothed(images))
    assert np.trace(matrix) / matrix.sum() >= 0.95
    classifier.save(tmp_path / "c.npz")
    loaded = GripperClassifier.load(tmp_path / "c.npz")
    images = train[0][0]
    np.testing.assert_array_equal(loaded.probabilities(images), classifier.probabilities(images))


def test_training_needs_two_states() -> None:
    with pytest.raises(ConfigError, match="at least 2 states"):
        train_classifier([([np.zeros((50, 50, 3), np.uint8)], [1])], CROP)


def test_damaged_classifiers_are_refused(tmp_path: Path) -> None:
    train_classifier(clips(2, 0), CROP).save(tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    path = tmp_path / "bad.npz"
    for bad in (b"", b"text", content[:500], content[: len(content) // 2]):
        path.write_bytes(bad)
        with pytest.raises(ArtefactError, match=r"bad\.npz"):
            GripperClassifier.load(path)
    np.savez(path, format=1, crop=np.array([object()], dtype=object), mean=0)
    with pytest.raises(ArtefactError):
        GripperClassifier.load(path)


@given(st.integers(1, 6), st.integers(0, 1000))
def test_viterbi_is_the_best_of_all_paths(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.dirichlet(np.ones(4), length)
    step = rng.dirichlet(np.ones(4), 4)

    def probability(path: tuple[int, ...]) -> float:
        value = seen[0][path[0]]
        for i in range(1, length):
            value *= step[path[i - 1], path[i]] * seen[i][path[i]]
        return float(value)

    paths = np.array(np.meshgrid(*[range(4)] * length)).reshape(length, -1).T
    best = max(probability(tuple(path)) for path in paths)
    found = probability(tuple(most_probable_path(seen, step)))
    assert found == pytest.approx(best, rel=1e-9)


def aruco() -> ArucoGripper:
    return ArucoGripper(
        left_id=0,
        right_id=1,
        marker_size_m=0.02,
        open_above_m=0.07,
        almost_open_above_m=0.05,
        almost_closed_above_m=0.03,
    )


def marker_picture(distance_m: float, lens: Lens) -> np.ndarray:
    """Two markers 20 cm before the camera, drawn through the lens."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    pixels = np.stack(np.meshgrid(np.arange(lens.width_px), np.arange(lens.height_px)), -1)
    rays = lens.unproject(pixels.astype(float))
    plane = rays[..., :2] / rays[..., 2:] * 0.2
    image = np.full((lens.height_px, lens.width_px), 220, np.uint8)
    for marker, side in ((0, -1), (1, 1)):
        drawn = cv2.aruco.generateImageMarker(dictionary, marker, 200)
        local = (plane - [side * distance_m / 2, 0.0]) / 0.02 + 0.5
        seen = cv2.remap(
            drawn, *np.moveaxis(local * 200 - 0.5, -1, 0).astype(np.float32), cv2.INTER_AREA,
            borderValue=220,
        )  # fmt: skip
        image = np.minimum(image, seen)
    return np.repeat(image[..., None], 3, 2)


@pytest.mark.parametrize("model", ["pinhole", "fisheye"])
def test_aruco_distance_and_states(model: str) -> None:
    fisheye = find_profile("sim_fisheye", ()).lens
    lens = Lens.pinhole(640, 480, 70) if model == "pinhole" else fisheye
    gripper = aruco()
    distances = np.array([gripper.distance_m(marker_picture(d, lens), lens)
                          for d in (0.08, 0.06, 0.04, 0.028)])  # fmt: skip
    np.testing.assert_allclose(distances, [0.08, 0.06, 0.04, 0.028], atol=0.002)
    np.testing.assert_array_equal(gripper.states(distances), [0, 1, 2, 3])
    gaps = np.array([distances[0], np.nan, distances[2], distances[3]])
    np.testing.assert_array_equal(gripper.states(gaps), [0, 1, 2, 3])
    with pytest.raises(ConfigError, match="only 1 of 4"):
        gripper.states(np.array([0.05, np.nan, np.nan, np.nan]))


def test_aruco_profile_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("left_id: 0\nright_id: 0\nmarker_size_m: 0.02\nopen_above_m: 0.07\n"
                    "almost_open_above_m: 0.05\nalmost_closed_above_m: 0.03\n")  # fmt: skip
    with pytest.raises(ConfigError, match="must differ"):
        ArucoGripper.load(path)


def clip_with_frames(path: Path) -> ClipFolder:
    clip = ClipFolder(path)
    clip.start({"settings": {"frames_per_step": 3}})
    image = np.zeros((32, 32, 3), np.uint8)
    clip.write_frames((SampledFrame(s, s / 3, image), None, 1.0) for s in range(7))
    return clip


def test_label_page_stores_each_press(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="needs vinn[ingest]")
    from vinn.ingest.gripper.label_page import LabelServer

    clip = clip_with_frames(tmp_path / "work" / "a b")
    server = LabelServer(tmp_path / "work")
    server.start()
    try:
        assert b"Gripper labels" in urllib.request.urlopen(server.url, timeout=10).read()
        frames = json.load(urllib.request.urlopen(server.url + "frames", timeout=10))
        assert [frame["slot"] for frame in frames] == [0, 3, 6]
        image = urllib.request.urlopen(server.url + "image/a%20b/3", timeout=10).read()
        assert image.startswith(b"\xff\xd8")

        def post(content: object, kind: str = "application/json") -> int:
            body = json.dumps(content).encode()
            request = urllib.request.Request(server.url + "label", body, {"Content-Type": kind})
            try:
                return urllib.request.urlopen(request, timeout=10).status
            except urllib.error.HTTPError as error:
                return error.code

        assert post({"clip": "a b", "slot": 3, "state": 2}) == 200
        assert post({"clip": "a b", "slot": 6, "state": 3}) == 200
        assert clip.gripper_states == {3: GripperState.ALMOST_CLOSED, 6: GripperState.CLOSED}
        assert post({"clip": "a b", "slot": 3, "state": 7}) == 400
        assert post({"clip": "../x", "slot": 3, "state": 1}) == 400
        assert post({"clip": "a b", "slot": 3, "state": 1}, "text/plain") == 415
        assert clip.gripper_states[3] is GripperState.ALMOST_CLOSED
        for bad in ("image/..%2F..%2Fetc/3", "image/a%20b/4000", "other"):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(server.url + bad, timeout=10)
        before = clip.gripper_states
        for body in (
            [], {}, None, "a b", {"clip": ["a b"], "slot": 3, "state": 1},
            {"clip": "a b", "slot": "3", "state": 1}, {"clip": "a b", "slot": 3.0, "state": 1},
            {"clip": "a b", "slot": 3, "state": True}, {"clip": "a b", "slot": 1e999, "state": 1},
            {"clip": "a b", "slot": 3, "state": float("nan")}, {"clip": "\ud800", "slot": 3},
        ):  # fmt: skip
            assert post(body) == 400, body
        assert post({"clip": "a b" * 10_000, "slot": 3, "state": 1}) == 413
        assert clip.gripper_states == before
    finally:
        server.stop()
