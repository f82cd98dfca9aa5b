"""The HTML report: one file, nothing fetched from anywhere, readable on a phone and in the dark.

    report = Report("Door opening", "30 rollouts on easy")
    report.tiles([Tile("Success", "29 / 30", "Wilson 95 %: 83 to 99 %", good=True)])
    section = report.section("Rollouts")
    section.table(["cabinet", "opened"], [["oak", 10]])
    section.videos([VideoItem(Path("runs/demo/videos/oak-00.mp4"), "oak, rollout 0")])
    report.write(Path("runs/demo/report.html"))

Text and table cells are escaped; only SVG made by `vinn.viz.plots` goes in as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, Template
from numpy.typing import NDArray

from vinn.errors import ConfigError, ImageError
from vinn.reading.regular import read_bytes
from vinn.viz.output import write_text


@dataclass(frozen=True)
class Tile:
    """A number to see first: what, value, a line below it, and whether it met its goal."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True)
class _Block:
    kind: Literal["text", "table", "svg", "image", "gallery", "scrubber"]
    content: Any
    caption: str = ""


@dataclass(frozen=True)
class _Video:
    source: str
    caption: str
    good: bool | None
    poster: str


@dataclass
class Section:
    """One headed part of a report; blocks appear in the order they were added."""

    title: str
    anchor: str
    blocks: list[_Block] = field(default_factory=list)

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(_Block("text", text))

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = ""
    ) -> None:
        """Add a table. Numbers align right; True and False become a tick and a cross.

        Raises:
            ConfigError: a row has another number of cells than the header.
        """
        for row in rows:
            if len(row) != len(header):
                raise ConfigError(
                    f"report table {caption or self.title!r}: a row has {len(row)} cells, "
                    f"the header {len(header)}"
                )
        cells = [[_cell(value) for value in row] for row in rows]
        numeric = [all(row[i]["kind"] == "number" for row in cells) for i in range(len(header))]
        titles = [
            {"text": title, "kind": "number" if right and cells else "text"}
            for title, right in zip(header, numeric, strict=True)
        ]
        self.blocks.append(_Block("table", {"header": titles, "rows": cells}, caption))

    def svg(self, svg: str, caption: str = "") -> None:
        """Add a plot from `vinn.viz.plots`."""
        self.blocks.append(_Block("svg", svg, caption))

    def image(self, image_rgb: NDArray[np.uint8], caption: str = "") -> None:
        """Add a picture, (H, W, 3) uint8 RGB."""
        self.blocks.append(_Block("image", _image_uri(image_rgb), caption))

    def scrubber(self, data: Mapping[str, Any], caption: str = "") -> None:
        """Add a rollout to scrub through (`vinn.recordings.scrubber.scrubber_data`)."""
        self.blocks.append(_Block("scrubber", data, caption))

    def videos(self, videos: Sequence[VideoItem]) -> None:
        """Add a grid of mp4s, embedded in the page; they start when they are asked to.

        Raises:
            ConfigError: a file is missing.
        """
        items = [
            _Video(_file_uri(v.path, "video/mp4"), v.caption, v.good, _poster(v)) for v in videos
        ]
        self.blocks.append(_Block("gallery", items))


@dataclass(frozen=True)
class Link:
    """A table cell that leads to another page, by a relative address."""

    text: str
    href: str


@dataclass(frozen=True)
class VideoItem:
    """An mp4 for the report, its caption, whether it shows a success, and a still to show first."""

    path: Path
    caption: str
    good: bool | None = None
    poster_rgb: NDArray[np.uint8] | None = None


class Report:
    """Collects sections and writes one self-contained HTML file.

    Args:
        title: heading and page title.
        subtitle: a line below it.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._tiles: list[Tile] = []
        self._sections: list[Section] = []

    def tiles(self, tiles: Sequence[Tile]) -> None:
        """Set the numbers shown at the top."""
        self._tiles = list(tiles)

    def section(self, title: str) -> Section:
        """Begin a section; add its blocks on the object returned."""
        section = Section(title, f"section-{len(self._sections) + 1}")
        self._sections.append(section)
        return section

    def html(self) -> str:
        """The page."""
        scrubs = any(b.kind == "scrubber" for section in self._sections for b in section.blocks)
        return _template().render(
            title=self.title,
            subtitle=self.subtitle,
            tiles=self._tiles,
            sections=self._sections,
            script=_SCRUBBER.read_text(encoding="utf-8") if scrubs else "",
        )

    def write(self, path: Path) -> Path:
        """Write the page atomically and return its path."""
        return write_text(path, self.html())


_SCRUBBER = Path(__file__).parent / "templates" / "scrubber.js"


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("vinn.viz", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _cell(value: object) -> dict[str, str]:
    if isinstance(value, Link):
        return {"text": value.text, "kind": "text", "link": value.href}
    if isinstance(value, bool | np.bool_):
        return {"text": "✓" if value else "✗", "kind": "yes" if value else "no"}
    if value is None:
        return {"text": "–", "kind": "text"}
    if isinstance(value, int | np.integer):
        return {"text": str(value), "kind": "number"}
    if isinstance(value, float | np.floating):
        return {"text": f"{value:.4g}", "kind": "number"}
    return {"text": str(value), "kind": "text"}


def _file_uri(path: Path, mime: str) -> str:
    data = read_bytes(path, ConfigError)
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"


def _image_uri(image_rgb: NDArray[np.uint8], jpeg_quality: int = 88) -> str:
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        raise ImageError(
            f"report image is {image_rgb.shape} {image_rgb.dtype}, must be (H, W, 3) uint8"
        )
    bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _poster(item: VideoItem) -> str:
    return "" if item.poster_rgb is None else _image_uri(item.poster_rgb, jpeg_quality=70)
