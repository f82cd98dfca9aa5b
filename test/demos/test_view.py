"""`vinn demos view`: what the page of a dataset says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from vinn.cli.main import run
from vinn.demos.store import write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta
from vinn.ingest.overview import near_duplicates, principal_plane, thumbnail


def scene(place: float, seed: int) -> np.ndarray:
    """A dark door on a bright wall, `place` to the right, with sensor noise."""
    image = np.full((48, 64, 3), 200, np.uint8)
    cv2.rectangle(image, (round(10 + 30 * place), 10), (round(30 + 30 * place), 47), (60,) * 3, -1)
    noise = np.random.default_rng(seed).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def demonstration(root: Path, name: str, place: float, seed: int, acts: bool = True) -> None:
    meta = DemonstrationMeta(
        name=name,
        task="door",
        camera=CameraInfo(name="wrist", width_px=64, height_px=48),
        action_scale=ActionScale.UNIT,
        has_actions=acts,
    )
    delta = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]]) if acts else None
    frames = [scene(place + 0.1 * i, seed + i) for i in range(3)]
    write_demonstration(root, meta, frames, delta, np.array([0, 3, 3]) if acts else None)


def test_near_duplicates_are_alike_but_for_noise() -> None:
    starts = {"a": scene(0.0, 0), "b": scene(0.6, 1), "a again": scene(0.0, 2), "c": scene(0.3, 3)}
    thumbnails = np.stack([thumbnail(image) for image in starts.values()])
    (pair,) = near_duplicates(list(starts), thumbnails)
    assert (pair.first, pair.second) == ("a", "a again") and pair.distance < 0.01


def test_light_alone_makes_no_other_start() -> None:
    dark = (scene(0.2, 0).astype(int) - 30).astype(np.uint8)
    assert near_duplicates(["x", "y"], np.stack([thumbnail(scene(0.2, 1)), thumbnail(dark)]))


def test_starts_lie_in_the_plane_as_they_differ() -> None:
    places = [0.0, 0.1, 0.2, 0.9]
    plane = principal_plane(np.stack([thumbnail(scene(p, i)) for i, p in enumerate(places)]))
    gaps = np.linalg.norm(np.diff(plane, axis=0), axis=1)
    assert gaps.argmax() == 2
    assert principal_plane(np.stack([thumbnail(scene(0, 0))])).shape == (1, 2)


def test_the_page_names_duplicates_statistics_and_every_demonstration(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    for name, place, seed in (("one", 0.0, 0), ("two", 0.7, 10), ("three", 0.0, 20)):
        demonstration(root, name, place, seed)
    demonstration(root, "silent", 0.4, 30, acts=False)
    assert run(["demos", "view", str(root), "--limit", "3"]) == 0
    path = tmp_path / "data.html"
    assert capfd.readouterr().out.strip() == str(path)
    page = path.read_text()
    for part in (
        "Near-duplicates",
        "Coverage of starts",
        "steps that stand still",
        "33.3%",
        "gripper closed",
        "66.7%",
        "one: door, 3 frames",
        "1 more are not shown",
    ):
        assert part in page
    duplicates = page[page.index("Near-duplicates") : page.index("1 more are not shown")]
    assert "three" in duplicates and "one" in duplicates and "<td>two" not in duplicates


def test_a_folder_without_demonstrations_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["demos", "view", str(tmp_path)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert str(tmp_path) in line
    assert not tmp_path.with_name(f"{tmp_path.name}.html").exists()
