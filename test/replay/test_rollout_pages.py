"""Rollout pages: what is in them, that they need nothing from elsewhere, and the index."""

from __future__ import annotations

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_rollout import IMAGES, record_rollout
from vinn.cli.main import run
from vinn.demos.types import ActionScale
from vinn.policies.artefact import open_artefact
from vinn.policies.types import Neighbor, Prediction
from vinn.recordings.scrubber import neighbor_jumps, scrubber_data
from vinn.recordings.tracks import load_tracks
from vinn.rollout.label import RolloutLabel, write_label
from vinn.viz.timeline import load_timeline


def test_the_data_are_what_was_recorded(rollout: Path, square_policy: Path) -> None:
    artefact = open_artefact(square_policy / "policy")
    timeline, tracks = load_timeline(rollout), load_tracks(rollout)
    data = scrubber_data(timeline, tracks, artefact.thumbnail)
    json.dumps(data, allow_nan=False)
    assert len(data["frames"]) == IMAGES - 1
    frame = data["frames"][4]
    recorded = next(p for p in timeline.predictions if p.sequence == frame["sequence"])
    said = recorded.prediction
    assert frame["delta"] == pytest.approx(said.camera_delta, abs=1e-5)
    assert [n["index"] for n in frame["neighbors"]] == [n.index for n in said.neighbors]
    assert sum(n["weight"] for n in frame["neighbors"]) == pytest.approx(1.0, abs=1e-3)
    assert {n["index"] for f in data["frames"] for n in f["neighbors"]} == set(data["pictures"])
    assert all(uri.startswith("data:image/jpeg") for uri in data["pictures"].values())
    names = {track["name"]: track for track in data["tracks"]}
    assert {"gripper", "novelty", "joints", "latency"} <= set(names)
    lift = names["joints"]["lines"]["joint_lift"]
    assert lift[-1][1] == pytest.approx(0.6 + 0.01 * (IMAGES - 1))
    assert names["novelty"]["limits"] == [{"y": 1.0, "name": "limit"}]


def test_without_an_artefact_there_are_no_pictures(rollout: Path) -> None:
    data = scrubber_data(load_timeline(rollout), load_tracks(rollout), None)
    assert data["pictures"] == {} and len(data["frames"]) == IMAGES - 1


def said_by(demonstration: str) -> Prediction:
    neighbor = Neighbor(demonstration, 0, 0, 1.0, 1.0, np.zeros(3, np.float32), 0)
    return Prediction(np.zeros(3), 0.0, np.eye(4)[0], ActionScale.METRIC, (neighbor,))


def test_jumps_between_demonstrations() -> None:
    assert neighbor_jumps([said_by(name) for name in "aaaa"]) == 0.0
    assert neighbor_jumps([said_by(name) for name in "abab"]) == 1.0
    assert neighbor_jumps([said_by(name) for name in "aab"]) == 0.5
    assert math.isnan(neighbor_jumps([said_by("a")]))


@pytest.fixture(scope="module")
def pages(square_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for name in ("s1", "s2"):
        record_rollout(root / f"{name}.mcap", square_policy / "policy")
    write_label(root, RolloutLabel("s2", True, "</script><b>bold"))
    assert run(["report", str(root)]) == 0
    return root / "pages"


def test_pages_and_index(pages: Path) -> None:
    index = (pages / "index.html").read_text()
    assert 'href="s1.html"' in index and 'href="s2.html"' in index
    assert "1 / 2" in index  # s2 is labelled a success; without a scene nobody else knows
    page = (pages / "s2.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "operator: success" in page and "<b>bold" not in page
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(json.loads(text)["frames"]) == IMAGES - 1


def test_the_page_scrubs_in_a_browser(pages: Path) -> None:
    pytest.importorskip("aiohttp")
    from measure.headless_chromium import HeadlessChromium, find_chromium

    if find_chromium() is None:
        pytest.skip("no chromium is installed")

    async def look() -> dict[str, Any]:
        async with HeadlessChromium() as page:
            await page.goto((pages / "s1.html").as_uri())
            await page.wait_for("document.querySelectorAll('.track').length > 3")
            return await page.evaluate(
                """(() => {
                  const slider = document.querySelector('.controls input');
                  const first = document.querySelector('dd').textContent;
                  slider.value = slider.max; slider.oninput();
                  return { max: slider.max, first, last: document.querySelector('dd').textContent,
                           shown: document.querySelectorAll('.neighbor:not([hidden])').length };
                })()"""
            )

    seen = asyncio.run(asyncio.wait_for(look(), 120))
    assert seen == {"max": str(IMAGES - 2), "first": "#3", "last": f"#{IMAGES + 1}", "shown": 6}


def test_commands_name_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path / "none")]) == 2
    assert "no such recording" in capsys.readouterr().err
    assert run(["report", "pages", str(tmp_path)]) == 2
    assert "holds no recording" in capsys.readouterr().err
