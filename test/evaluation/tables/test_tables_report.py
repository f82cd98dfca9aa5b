"""One page of the comparison: what is there is on it, what is not there is named."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner
from vinn.cli.eval import app
from vinn.errors import ConfigError
from vinn.evaluation.results import Results
from vinn.paper.page import build_tables_report

PAGE = """# Table III

Spent: <little>.

    vinn eval tables

| Method | Door | Stacking |
|---|---:|---:|
| Random | 6.53 [6.34] | 6.40 |
| VINN | 0.96 | not measured |

## Below it

A paragraph.
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, met in (("table3", 60), ("beyond", 35)):
        subject = Results(name, f"vinn eval {name}")
        subject.add("goal: doors", met, "% opened", ">= 60")
        subject.add("reported only", 7)
        subject.write(tmp_path)
    (tmp_path / "table3-side-by-side.md").write_text(PAGE, encoding="utf-8")
    (tmp_path / "figure6.svg").write_text("<svg id='k-curve'></svg>", encoding="utf-8")
    cv2.imwrite(str(tmp_path / "figure3-door.jpg"), np.full((8, 8, 3), 90, np.uint8))
    return tmp_path


def cells(html: str) -> list[str]:
    return [re.sub(r"\s+", " ", text) for text in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", html)]


def test_tables_figures_and_goals_are_on_the_page(results: Path) -> None:
    html = build_tables_report(results).html()
    found = cells(html)
    for text in ("Method", "Random", "6.53 [6.34]", "not measured", "vinn eval beyond"):
        assert text in found
    assert "Spent: &lt;little&gt;." in html
    assert "A paragraph." in html and "Below it" in html
    assert "<svg id='k-curve'>" in html
    assert html.count("data:image/jpeg;base64,") == 1
    assert html.count("goal &gt;= 60") == 2, "a goal met and one missed"
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", html)


def test_the_figures_of_a_subject_without_a_page_are_listed(results: Path) -> None:
    assert cells(build_tables_report(results).html()).count("reported only") == 1


def test_a_folder_without_results_and_a_bad_picture_are_named(
    results: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ConfigError, match=r"table3\.json.*closed_loop\.json.*`vinn eval`"):
        build_tables_report(empty)
    (results / "figure3-door.jpg").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"figure3-door\.jpg: not a picture"):
        build_tables_report(results)


def test_the_command_writes_one_file(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    answer = CliRunner().invoke(app, ["report", str(results), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    assert "Random" in out.read_text(encoding="utf-8")
