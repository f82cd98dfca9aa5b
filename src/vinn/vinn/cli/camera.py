"""`vinn camera`: list cameras, print the calibration board, calibrate a lens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from vinn.cli.console import err, out
from vinn.demos.files import atomic_file
from vinn.errors import CameraError, ConfigError
from vinn.ingest.frame_source import FrameSource, cameras, open_source
from vinn.ingest.lenses.calibration import MIN_VIEWS, LensModel, View, calibrate
from vinn.ingest.lenses.charuco import PAGE_DPI, PAGES_MM, CalibrationBoard
from vinn.ingest.lenses.intrinsics import camera_info_yaml, intrinsics_json
from vinn.ingest.lenses.lens import Lens
from vinn.viz.output import write_text

app = typer.Typer(no_args_is_help=True)

_LIVE_VIEW_PERIOD_S = 0.7
"""Between two views of a live camera: time to tilt the board."""
_FILE_VIEWS = 120
"""Frames of a video that are looked at, at most."""

Columns = Annotated[int, typer.Option(help="Squares across.")]
Rows = Annotated[int, typer.Option(help="Squares down.")]
SquareMm = Annotated[float, typer.Option("--square-mm", help="Side of a printed square, in mm.")]


class Model(str, Enum):
    """Lens models."""

    kb4 = "kb4"
    pinhole = "pinhole"


@app.command("list")
def list_cameras() -> None:
    """Name the cameras that are plugged in, by names that survive a reboot."""
    found = cameras()
    for path in found:
        out.print(path, highlight=False, soft_wrap=True)
    if not found:
        raise CameraError("no camera under /dev/v4l/by-id: is it plugged in, are you in 'video'?")


@app.command()
def board(
    file: Annotated[Path, typer.Option("--out", help="PDF or PNG to write.")] = Path("board.pdf"),
    paper: Annotated[str, typer.Option(help=f"One of {', '.join(PAGES_MM)}; landscape.")] = "a4",
    columns: Columns = 9,
    rows: Rows = 6,
    square_mm: SquareMm = 28.0,
) -> None:
    """Write the calibration board as a page to print at 100 %."""
    if file.suffix not in (".pdf", ".png"):
        raise ConfigError(f"--out: {file}; allowed: a name that ends in .pdf or .png")
    page = CalibrationBoard(columns, rows, square_mm / 1000).page(paper)
    kind = file.suffix[1:].upper()
    with atomic_file(file, ConfigError) as opened:
        if kind == "PDF":
            page.save(opened, kind, resolution=PAGE_DPI)
        else:
            page.save(opened, kind, dpi=(PAGE_DPI, PAGE_DPI))
    out.print(f"{file}: {columns} x {rows} squares of {square_mm:g} mm on {paper}", highlight=False)


@app.command("calibrate")
def calibrate_camera(
    source: Annotated[
        str,
        typer.Argument(
            help="Camera under /dev/v4l/by-id, video file, or folder of pictures of the board."
        ),
    ],
    file: Annotated[
        Path, typer.Option("--out", help="Profile to write (.json); .camera_info.yaml beside it.")
    ],
    model: Annotated[
        Model, typer.Option(help="kb4 suits every lens; pinhole one that bends no line.")
    ] = Model.kb4,
    columns: Columns = 9,
    rows: Rows = 6,
    square_mm: SquareMm = 28.0,
    views: Annotated[
        int, typer.Option(min=MIN_VIEWS, help="Pictures to take of a live camera.")
    ] = 40,
    width_px: Annotated[int, typer.Option(help="Asked of a live camera; 0: as it is.")] = 0,
    height_px: Annotated[int, typer.Option(help="Asked of a live camera; 0: as it is.")] = 0,
    pixel_format: Annotated[
        str, typer.Option(help="Asked of a live camera, e.g. MJPG; empty: as it is.")
    ] = "",
    timeout_s: Annotated[
        float, typer.Option(min=1.0, help="For a live camera, in seconds.")
    ] = 180.0,
) -> None:
    """Calibrate a lens with the printed board; writes the profile that ingest and the robot use.

    Hold the board near, far, tilted each way, and into every corner of the picture.
    """
    if file.suffix != ".json":
        raise ConfigError(f"--out: {file}; allowed: a name that ends in .json")
    pattern = CalibrationBoard(columns, rows, square_mm / 1000)
    frames = open_source(source, width_px, height_px, 30.0, pixel_format)
    try:
        taken = _Views(pattern)
        if frames.live:
            _look_live(frames, taken, views, timeout_s)
        else:
            _look_through(frames, taken)
    finally:
        frames.close()
    kind: LensModel = "kb4" if model is Model.kb4 else "pinhole"
    result = calibrate(taken.found, pattern, *taken.size_px, kind)
    write_text(file, intrinsics_json(result.lens, result.rms_px, result.views))
    info = write_text(
        file.with_suffix(".camera_info.yaml"), camera_info_yaml(result.lens, file.stem)
    )
    out.print(
        f"{_describe(result.lens)}; {result.rms_px:.2f} px off over {result.views} views, "
        f"{result.coverage:.0%} of the picture covered",
        highlight=False,
    )
    for warning in result.warnings:
        err.print(f"warning: {warning}", highlight=False, soft_wrap=True)
    out.print(f"{file}\n{info}", highlight=False, soft_wrap=True)


class _Views:
    """Views of the board as they are found."""

    def __init__(self, board: CalibrationBoard) -> None:
        self._board = board
        self.found: list[View] = []
        self.looked_at = 0
        self.size_px = (0, 0)

    def look(self, image_rgb: NDArray[np.uint8]) -> View:
        """Find the board in a picture; all pictures must have one size."""
        size = (image_rgb.shape[1], image_rgb.shape[0])
        if self.looked_at and size != self.size_px:
            raise CameraError(f"a picture of {size[0]}x{size[1]} among those of {self.size_px}")
        self.size_px = size
        self.looked_at += 1
        view = View(*self._board.detect(image_rgb))
        if view.usable:
            self.found.append(view)
        return view

    def __str__(self) -> str:
        return f"{len(self.found)} views of the board in {self.looked_at} pictures"


def _look_through(frames: FrameSource, taken: _Views) -> None:
    """Every picture of a folder; of a video so many that the rest adds nothing."""
    total = frames.frame_count
    every = max(1, total // _FILE_VIEWS) if total else 1
    with err.status("looking for the board") as status:
        for number, image_rgb in enumerate(_images(frames)):
            if number % every == 0:
                taken.look(image_rgb)
                status.update(str(taken))


def _look_live(frames: FrameSource, taken: _Views, wanted: int, timeout_s: float) -> None:
    """A view now and then, until there are enough."""
    end_s = time.monotonic() + timeout_s
    due_s = 0.0
    with err.status("hold the board before the camera") as status:
        for image_rgb in _images(frames):
            now_s = time.monotonic()
            if len(taken.found) >= wanted or now_s > end_s:
                return
            if now_s < due_s:
                continue
            view = taken.look(image_rgb)
            if view.usable:
                due_s = now_s + _LIVE_VIEW_PERIOD_S
            seen = f"{len(view.ids)} corners"
            status.update(f"view {len(taken.found)} of {wanted}: {seen}; tilt and move the board")


def _images(frames: FrameSource) -> Iterator[NDArray[np.uint8]]:
    while (frame := frames.read()) is not None:
        yield frame[0]


def _describe(lens: Lens) -> str:
    edge = lens.unproject(np.array([[0.0, lens.cy_px], [lens.width_px - 1.0, lens.cy_px]]))
    across_deg = float(np.degrees(np.arctan2(np.abs(edge[:, 0]), edge[:, 2])).sum())
    return (
        f"{lens.model} {lens.width_px}x{lens.height_px}: f {lens.fx_px:.1f}, {lens.fy_px:.1f} px, "
        f"centre {lens.cx_px:.1f}, {lens.cy_px:.1f} px, {across_deg:.0f} degrees across"
    )
