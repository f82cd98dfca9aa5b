"""The page on which the gripper mask is painted."""

from __future__ import annotations

import asyncio
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs vinn[ingest]")

from videos import grey_levels, write_video
from vinn.cli.main import run
from vinn.ingest.gripper.mask import read_mask
from vinn.ingest.gripper.mask_page import MaskServer, frames_to_paint_on
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.ingest.lenses.lens import Lens

LENS = Lens.pinhole(96, 64, 60)


@contextmanager
def served(page: MaskServer) -> Iterator[str]:
    page.start()
    try:
        yield page.url
    finally:
        page.stop()


def fetched(url: str) -> bytes:
    return urllib.request.urlopen(url, timeout=10).read()


def post(url: str, body: bytes, kind: str = "image/png") -> tuple[int, str]:
    request = urllib.request.Request(url + "mask", body, {"Content-Type": kind})
    try:
        return urllib.request.urlopen(request, timeout=10).status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def layer(mask: np.ndarray) -> bytes:
    """What the page's canvas sends: opaque where it is painted."""
    picture = np.zeros((*mask.shape, 4), np.uint8)
    picture[mask] = (0, 0, 255, 255)
    return cv2.imencode(".png", picture)[1].tobytes()


def huge_png() -> bytes:
    """A few bytes, sound by themselves, that claim gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + rows + chunk(b"IEND", b"")


def test_what_is_painted_is_the_mask_that_ingest_reads(tmp_path: Path) -> None:
    begun, painted = np.zeros((64, 96), bool), np.zeros((64, 96), bool)
    begun[40:, 30:60] = True
    painted[32:, 20:70] = True
    target = tmp_path / "mask.png"
    with served(MaskServer(grey_levels(3), begun, target)) as url:
        assert b"Gripper mask" in fetched(url)
        assert fetched(url + "frame/2").startswith(b"\xff\xd8")
        shown = cv2.imdecode(np.frombuffer(fetched(url + "mask"), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(shown[..., 3] > 127, begun)
        assert not target.exists()
        assert post(url, layer(painted)) == (200, "")
        # Painting goes on from there when the page is loaded again.
        assert fetched(url + "mask") == layer(painted)
    np.testing.assert_array_equal(read_mask(target, LENS), painted)
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]


def test_what_is_no_mask_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    nothing = np.zeros((64, 96), bool)
    (tmp_path / "no-folder").write_bytes(b"")
    page = MaskServer(grey_levels(1), nothing, tmp_path / "no-folder" / "mask.png")
    with served(page) as url:
        for body, reason in (
            (b"", "96x64"),
            (b"no picture", "96x64"),
            (layer(np.ones((10, 10), bool)), "10x10"),
            (layer(nothing)[:-20], "truncated"),
            (huge_png(), "60000x60000"),
            (cv2.imencode(".png", np.zeros((64, 96, 3), np.uint8))[1].tobytes(), "alpha"),
            (layer(nothing), "covers 0 %"),
            (layer(~nothing), "covers 100 %"),
            (layer(np.eye(64, 96, dtype=bool)), "cannot be written"),
        ):
            code, text = post(url, body)
            assert code == 400 and reason in text.replace("%", " %").replace("  ", " "), text
        assert post(url, layer(np.eye(64, 96, dtype=bool)), "text/plain")[0] == 415
        for bad in ("frame/1", "frame/-1", "frame/x", "other"):
            with pytest.raises(urllib.error.HTTPError):
                fetched(url + bad)
    assert [path.name for path in tmp_path.iterdir()] == ["no-folder"]


def test_frames_are_spread_over_the_clip_and_linearised(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", grey_levels(48), 3)
    profile = CameraProfile.model_validate(
        {"name": "small", "lens": LENS, "output": {"width_px": 64, "height_px": 64}}
    )
    images = frames_to_paint_on(tmp_path / "clip.mp4", profile)
    assert 10 <= len(images) <= 13
    assert {image.shape for image in images} == {(64, 64, 3)}
    greys = [float(image[32, 32].mean()) for image in images]
    assert greys[0] < 10 and greys[-1] > 200 and greys == sorted(greys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clip.mp4", "--out", "mask.jpg"], "ends in .png"),
        (["missing.mp4", "--out", "mask.png"], "no such video"),
        (["clip.mp4", "--out", "mask.png", "--camera", "nobody"], "no such file or name"),
    ],
)
def test_refusals(arguments: list[str], message: str, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", grey_levels(3), 3)
    camera = [] if "--camera" in arguments else ["--camera", "sim_fisheye"]
    assert run(["gripper", "mask", *arguments, *camera]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


async def drag(page: Any, begin: tuple[int, int], end: tuple[int, int]) -> None:
    """Drag the mouse over the canvas from one pixel of the frame to another."""
    left, top, scale = await page.evaluate(
        "(b => [b.left, b.top, b.width / 96])(by('layer').getBoundingClientRect())"
    )
    mouse = page.page.mouse
    await mouse.move(left + begin[0] * scale, top + begin[1] * scale)
    await mouse.down()
    await mouse.move(left + end[0] * scale, top + end[1] * scale)
    await mouse.up()


def test_painting_in_a_browser(tmp_path: Path) -> None:
    from measure.headless_chromium import HeadlessChromium, find_chromium

    if find_chromium() is None:
        pytest.skip("no chromium is installed")
    target = tmp_path / "mask.png"
    begun = np.zeros((64, 96), bool)
    begun[50:, :20] = True

    async def paint(url: str) -> None:
        async with HeadlessChromium() as page:
            await page.size(1000, 1000)
            await page.goto(url)
            shown = "by('frame').naturalWidth && pen.getImageData(5, 60, 1, 1).data[3] === 255"
            await page.wait_for(f"typeof pen === 'object' && {shown}")
            await page.evaluate("by('size').value = 10")
            await drag(page, (40, 20), (80, 20))
            # A stroke that is undone, and one that takes away.
            await drag(page, (40, 60), (80, 60))
            await page.press("z")
            await page.press("e")
            await drag(page, (2, 60), (10, 60))
            await page.press("s")
            await page.wait_for("by('state').textContent === 'saved'")

    with served(MaskServer(grey_levels(2), begun, target)) as url:
        asyncio.run(asyncio.wait_for(paint(url), 120))
    found = read_mask(target, LENS)
    assert found[20, 42:78].all() and found[18:23, 60].all()
    assert not found[10, 60] and not found[60, 60]
    assert not found[60, 3:10].any() and found[53, 3] and found[60, 18]
