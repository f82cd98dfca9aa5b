"""What a user can get wrong, by the commands: one line, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from videos import grey_levels, write_video
from vinn.cli.main import run
from vinn.demos.frames import encode_jpeg
from vinn.errors import DatasetError
from vinn.ingest.formats.common import write_imported
from vinn.ingest.formats.record3d import read_record3d
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.sfm import reconstruct
from vinn.ingest.motion.sfm_settings import SfmSettings

PROFILE = """
name: small
lens: {model: pinhole, width_px: 96, height_px: 64, fx_px: 80, fy_px: 80, cx_px: 47.5, cy_px: 31.5}
output: {projection: raw, width_px: 96, height_px: 64}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "camera.yaml"
    path.write_text(PROFILE)
    return path


def noisy(count: int, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3), np.uint8) for _ in range(count)]


def without_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=3)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 3)
        container.start_encoding()


def cut_in_half(path: Path) -> None:
    write_video(path, noisy(12), 3)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def overwritten(path: Path) -> None:
    write_video(path, noisy(12), 3)
    content = bytearray(path.read_bytes())
    content[48 : len(content) - 2000] = bytes(len(content) - 2048)
    path.write_bytes(bytes(content))


def of_another_shape(path: Path) -> None:
    write_video(path, grey_levels(8, (64, 64)), 3)


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line of a refused command."""
    capfd.readouterr()
    assert run(arguments) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("vinn: error")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_frames, r"bad\.mp4: .*(no frames|no video|not a video|frame rate)"),
        (cut_in_half, r"bad\.mp4: .*not a video"),
        (overwritten, r"bad\.mp4: .*damaged"),
        (of_another_shape, r"64x64.*small.*96x64"),
    ],
)
def test_videos_that_cannot_be_ingested(
    make, message: str, profile: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycolmap")
    make(tmp_path / "bad.mp4")
    line = refused(
        ["ingest", str(tmp_path / "bad.mp4"), "--camera", str(profile), "--mask", "none",
         "--out", str(tmp_path / "data"), "--jobs", "1"],
        capfd,
    )  # fmt: skip
    assert re.search(message, line), line
    assert not (tmp_path / "data").exists()


def r3d(path: Path, poses: list[list[float]], extra: str | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps({"poses": poses, "fps": 2}))
        for index, image in enumerate(noisy(len(poses))):
            archive.writestr(f"rgbd/{index}.jpg", encode_jpeg(image))
        if extra is not None:
            archive.writestr(extra, b"x")
    return path


MOVING = [[0, 0, 0, 1, 0, 0, 0.1 * i] for i in range(6)]
STILL = [[0, 0, 0, 1, 0, 0, 0]] * 6


@pytest.mark.parametrize(
    ("poses", "extra", "message"),
    [(MOVING, "../../evil", "leads out of the archive"), (STILL, None, "poses are the same")],
)
def test_archives_that_are_refused(
    poses, extra, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = r3d(tmp_path / "in.r3d", poses, extra)
    line = refused(
        ["demos", "import", "record3d", str(source), "--out", str(tmp_path / "out")], capfd
    )
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.r3d"]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to write more into a file, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_leaves_no_imported_dataset(tmp_path: Path) -> None:
    source = r3d(tmp_path / "in.r3d", MOVING)
    with files_of_at_most(2000), pytest.raises(DatasetError) as caught:
        write_imported(read_record3d(source, "x", 2.0), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.r3d"]


def test_a_write_that_fails_during_ingest_is_one_line(profile: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    write_video(tmp_path / "clip.mp4", noisy(12), 3)
    # The clip's own process inherits the limit; its JPEGs are larger.
    done = subprocess.run(
        [sys.executable, "-c",
         "import resource, sys\n"
         "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
         "from vinn.cli.main import main\n"
         "main(sys.argv[1:])\n",
         "ingest", "clip.mp4", "--camera", str(profile), "--mask", "none", "--out", "data"],
        cwd=tmp_path, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("vinn: error")]
    assert "clip clip:" in line and "cannot be written" in line
    assert not (tmp_path / "data").exists()


def test_too_little_space_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pycolmap")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 * 2**20))
    with pytest.raises(DatasetError, match=r"10 MiB free; .* of 90 frames needs 135 MiB"):
        _reconstruct(tmp_path, 90)


def test_what_stops_structure_from_motion_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pycolmap = pytest.importorskip("pycolmap")

    def disk_full(*_: object) -> None:
        raise RuntimeError("No registered database factory succeeded.\nat database.cc:42")

    monkeypatch.setattr(pycolmap, "extract_features", disk_full)
    with pytest.raises(DatasetError, match="stopped: No registered database") as caught:
        _reconstruct(tmp_path, 4)
    assert "\n" not in str(caught.value)


def _reconstruct(folder: Path, frames: int) -> None:
    names = [f"{i:06d}.jpg" for i in range(frames)]
    reconstruct(folder, names, Lens.pinhole(96, 64, 60), None, [(0, 3)], folder, SfmSettings())
