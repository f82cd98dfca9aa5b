"""A clip is of a film's content: two films share nothing, and one film is the same by any name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta, GripperState
from vinn.errors import DatasetError
from vinn.ingest.assignment import Assignment, assign_clips, clip_name
from vinn.ingest.clip import MANUAL, ClipFolder
from vinn.ingest.film import Film
from vinn.ingest.motion.steps import Assessment
from vinn.ingest.pipeline import write_clip

RNG = np.random.default_rng(17)
INFINITE = float("inf")


def film(path: Path, content: bytes | None = None) -> Path:
    """A file that stands for a film; another content is another film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(RNG.bytes(500) if content is None else content)
    return path


def key_of(video: Path, start_s: float = 0.0, end_s: float = INFINITE, **settings: object) -> dict:
    found = Film.of(video, start_s, end_s)
    known = {"start_s": start_s, "end_s": found.end_s, "frames_per_step": 3, "action_rate_hz": 1.0}
    return {
        "video": video.name,
        "video_sha256": found.sha256,
        "profile": {"name": "p"},
        "settings": {**known, **settings},
    }


class Place:
    """A dataset and its work folder."""

    def __init__(self, root: Path) -> None:
        self.dataset, self.work = root / "doors", root / "doors.ingest"

    def assign(self, *videos: Path, start_s: float = 0.0, end_s: float = INFINITE) -> Assignment:
        return assign_clips(videos, self.work, self.dataset, start_s, end_s)

    def ingest(self, *videos: Path, start_s: float = 0.0, end_s: float = INFINITE) -> list[str]:
        """What a run leaves: work folders and demonstrations, their pictures made of the film."""
        tasks = self.assign(*videos, start_s=start_s, end_s=end_s).tasks
        for task in tasks:
            ClipFolder(self.work / task.name).start(key_of(task.video, start_s, end_s))
            self.demonstrate(task.name, task.video, start_s, end_s)
        return [task.name for task in tasks]

    def demonstrate(self, name: str, video: Path, start_s: float, end_s: float) -> None:
        shutil.rmtree(self.dataset / name, ignore_errors=True)
        found = Film.of(video, start_s, end_s)
        provenance = {"tool": "vinn ingest", "video": video.name, "video_sha256": found.sha256}
        meta = DemonstrationMeta(
            name=name,
            task="door",
            camera=CameraInfo(name="p", width_px=8, height_px=8),
            provenance={**provenance, "range_s": found.range_s},
        )
        grey = np.full((8, 8, 3), video.read_bytes()[0], np.uint8)
        write_demonstration(self.dataset, meta, [grey], np.zeros((1, 3)), [0])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_two_films_of_one_name_on_two_days(place: Place, tmp_path: Path) -> None:
    days = [film(tmp_path / f"day{i}" / "GX010001.MP4") for i in range(5)]
    names = [name for day in days for name in place.ingest(day)]
    assert names[0] == "GX010001" and len(set(names)) == 5
    assert len(Dataset.open(place.dataset)) == 5
    assert all(name.startswith("GX010001") for name in names)
    # And again, in another order.
    order = RNG.permutation(5)
    assert [place.ingest(days[i]) for i in order] == [[names[i]] for i in order]


def test_two_folders_in_one_batch(place: Place, tmp_path: Path) -> None:
    videos = [film(tmp_path / day / "clip.mp4") for day in ("a", "b", "c")]
    found = place.assign(*videos)
    assert len({task.name for task in found.tasks}) == 3
    assert [task.video for task in found.tasks] == videos
    assert len(found.notes) == 2 and all("another film is called 'clip'" in n for n in found.notes)


@pytest.mark.parametrize(
    "other", ["clip.MOV", "Clip.mp4", "CLIP.MP4", "sub/clip.mp4", "clip .mp4", "-clip.mp4"]
)
def test_names_that_become_one(place: Place, tmp_path: Path, other: str) -> None:
    (first,) = place.ingest(film(tmp_path / "clip.mp4"))
    (second,) = place.ingest(film(tmp_path / other))
    assert first.casefold() != second.casefold()
    assert len(Dataset.open(place.dataset)) == 2


def test_one_film_is_the_same_by_any_name(place: Place, tmp_path: Path) -> None:
    content = RNG.bytes(300)
    (name,) = place.ingest(film(tmp_path / "kitchen.mp4", content))
    renamed = film(tmp_path / "b" / "other.MOV", content)
    found = place.assign(renamed)
    assert [task.name for task in found.tasks] == [name]
    assert "is the film of clip 'kitchen'" in found.notes[0]
    # Where the work folder is gone, the demonstration says it.
    shutil.rmtree(place.work)
    assert [task.name for task in place.assign(renamed).tasks] == [name]
    # And twice in one batch it is done once.
    found = place.assign(renamed, tmp_path / "kitchen.mp4")
    assert len(found.tasks) == 1 and "same film" in found.notes[-1]


def test_ranges_of_one_film_are_clips_of_their_own(place: Place, tmp_path: Path) -> None:
    video = film(tmp_path / "long.mp4")
    bounds = [(0.0, INFINITE), (0.0, 10.0), (10.0, 20.0), (10.0, INFINITE)]
    names = [place.ingest(video, start_s=a, end_s=b)[0] for a, b in bounds]
    assert len(set(names)) == 4 and len(Dataset.open(place.dataset)) == 4
    shutil.rmtree(place.work)
    again = [place.ingest(video, start_s=a, end_s=b)[0] for a, b in bounds]
    assert again == names
    # Another film of that name, in the same range.
    (other,) = place.ingest(film(tmp_path / "b" / "long.mp4"), start_s=0.0, end_s=10.0)
    assert other not in names and other.startswith("long-0-10s")


def test_a_demonstration_of_before_keeps_its_name(place: Place, tmp_path: Path) -> None:
    video = film(tmp_path / "old.mp4")
    place.ingest(video)
    meta = place.dataset / "old" / "meta.json"
    content = json.loads(meta.read_text())
    del content["provenance"]["range_s"]
    meta.write_text(json.dumps(content))
    shutil.rmtree(place.work)
    assert [task.name for task in place.assign(video).tasks] == ["old"]
    (other,) = place.assign(video, start_s=5.0).tasks
    assert other.name == "old-5s"
    (task,) = place.assign(film(tmp_path / "b" / "old.mp4")).tasks
    assert task.name != "old"


def test_a_demonstration_of_something_else_keeps_its_name(place: Place, tmp_path: Path) -> None:
    meta = DemonstrationMeta(
        name="clip", task="t", camera=CameraInfo(name="c", width_px=8, height_px=8)
    )
    picture = np.zeros((8, 8, 3), np.uint8)
    write_demonstration(place.dataset, meta, [picture], np.zeros((1, 3)), [0])
    (task,) = place.assign(film(tmp_path / "clip.mp4")).tasks
    assert task.name.startswith("clip-")


def test_a_film_that_cannot_be_read_does_not_stop_the_others(place: Place, tmp_path: Path) -> None:
    videos = [tmp_path / "missing.mp4", film(tmp_path / "good.mp4"), tmp_path]
    assert [task.video for task in place.assign(*videos).tasks] == videos


def test_a_work_folder_is_never_emptied_for_another_film(place: Place, tmp_path: Path) -> None:
    first, second = film(tmp_path / "a" / "x.mp4"), film(tmp_path / "b" / "x.mp4")
    clip = ClipFolder(place.work / "x")
    clip.start(key_of(first))
    clip.write("frames.json", [])
    for key in (key_of(second), key_of(first, 1.0), key_of(first, 0.0, 9.0)):
        with pytest.raises(DatasetError, match="is of another film") as caught:
            clip.start(key)
        assert "x.mp4" in str(caught.value) and "\n" not in str(caught.value)
    assert clip.frames == []
    # The same film by another name is no other film, and nothing is done again.
    clip.start({**key_of(first), "video": "renamed.mp4"})
    assert clip.frames == []


def test_manual_labels_outlive_other_settings(place: Place, tmp_path: Path) -> None:
    video = film(tmp_path / "x.mp4")
    clip = ClipFolder(place.work / "x")
    clip.start(key_of(video))
    clip.write("frames.json", [])
    states = {0: GripperState.OPEN, 3: GripperState.CLOSED}
    clip.write_gripper(MANUAL, states)
    clip.start(key_of(video, mask="auto"))
    assert clip.frames is None and clip.gripper_states == states
    for changed in ({"frames_per_step": 2}, {"action_rate_hz": 2.0}):
        with pytest.raises(DatasetError, match="2 manual labels"):
            clip.start(key_of(video, **changed))
        assert clip.gripper_states == states
    # What a classifier said is made again.
    clip.write_gripper("classifier", states)
    clip.start(key_of(video, frames_per_step=2))
    assert clip.gripper_source is None


@pytest.mark.parametrize("rejected", [True, False])
def test_a_demonstration_of_another_film_is_neither_replaced_nor_removed(
    place: Place, tmp_path: Path, rejected: bool
) -> None:
    """As `vinn gripper apply` meets it with the dataset of another day."""
    first, second = film(tmp_path / "a" / "x.mp4"), film(tmp_path / "b" / "x.mp4")
    place.ingest(first)
    before = {p: p.read_bytes() for p in place.dataset.rglob("*") if p.is_file()}
    clip = ClipFolder(tmp_path / "other.ingest" / "x")
    clip.start(key_of(second))
    clip.write_assessment(Assessment((), "made up" if rejected else None, {}))
    with pytest.raises(DatasetError, match="is of another film") as caught:
        write_clip(clip, place.dataset, "door")
    shas = [Film.of(video).sha256[:12] for video in (first, second)]
    assert all(sha in str(caught.value) for sha in shas) and "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in place.dataset.rglob("*") if p.is_file()} == before


def test_names_are_short_enough_for_a_folder() -> None:
    assert len(clip_name(Path("x" * 250 + ".mp4"), 1234.5678, 99999.9999)) < 100
