"""The report is one valid page that fetches nothing."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from vinn.errors import ConfigError
from vinn.viz import plots
from vinn.viz.report import Report, Tile, VideoItem
from vinn.viz.video import write_video

VOID = {"meta", "img", "link", "br", "hr", "input", "source"}


class Page(HTMLParser):
    """Checks nesting and collects what a browser would fetch or show."""

    def __init__(self, html):
        super().__init__()
        self.open, self.urls, self.ids, self.text = [], [], [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        for name, value in attrs:
            if name in {"src", "href", "poster", "xlink:href", "data", "srcset"}:
                self.urls.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(tmp_path):
    video = write_video(tmp_path / "v.mp4", [np.zeros((16, 16, 3), np.uint8)] * 3, 15)
    report = Report("A <b>title</b>", "sub & title")
    report.tiles([Tile("Success", "29 / 30", "note", good=True), Tile("Other", "1", good=False)])
    first = report.section("First")
    first.text("<script>alert(1)</script>")
    first.table(["name", "value", "met"], [["<i>a</i>", 1.5, True], ["b", 22, False]])
    first.svg(plots.rate_bars([plots.Bar("oak", 0.9, 0.6, 0.98, "9 / 10")], "opened"))
    second = report.section("Second")
    second.svg(plots.lines({"a": ([0, 1], [2, 3])}, "step", "deg", (2.5, "level")))
    second.svg(plots.distributions({"encode": [1.0, 2.0, 3.0]}, "ms"))
    second.image(np.zeros((8, 8, 3), np.uint8), "black")
    second.videos([VideoItem(video, "clip", True, np.zeros((8, 8, 3), np.uint8))])
    path = report.write(tmp_path / "out" / "report.html")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_nothing_is_fetched(page):
    for url in Page(page).urls:
        assert url.startswith(("data:", "#")), url[:80]
    assert not re.search(r"@import|url\((?!#)", page)
    assert "<script" not in page


def test_text_is_escaped_and_shown(page):
    text = Page(page).text
    assert "A <b>title</b>" in text
    assert "<script>alert(1)</script>" in text
    assert "<i>a</i>" in text
    for expected in ("29 / 30", "1.5", "✓", "✗", "clip", "9 / 10"):
        assert expected in text


def test_ids_are_unique_and_links_lead_somewhere(page):
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    for url in parsed.urls:
        if url.startswith("#"):
            assert url[1:] in parsed.ids
    for name in re.findall(r"url\(#([^)]*)\)", page):
        assert name in parsed.ids


def test_plots_follow_the_page_colour(page):
    assert page.count("<svg") == 3
    assert "currentColor" in page
    assert "#010203" not in page


def test_uneven_rows_are_refused():
    with pytest.raises(ConfigError, match="2 cells, the header 1"):
        Report("t").section("s").table(["a"], [[1, 2]])


def test_missing_video_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.mp4"):
        Report("t").section("s").videos([VideoItem(tmp_path / "gone.mp4", "x")])
