"""The whole demo, as small as it goes, through separate node processes."""

import json
import os
import re
import subprocess
import sys

import av
import pytest
from ros_domain import own_domain

pytest.importorskip("rclpy")


@pytest.mark.crosses_processes(
    reason="its nodes run as processes and have to find each other in time"
)
@pytest.mark.ros
@pytest.mark.physics
@pytest.mark.slow
def test_small_demo_runs_through(tmp_path):
    out = tmp_path / "demo"
    command = [
        sys.executable, "-m", "vinn_ros.demo", "--out", str(out), "--demos-per-cabinet", "5",
        "--trials", "1", "--control-trials", "2", "--results", str(tmp_path / "results"),
    ]  # fmt: skip
    env = {**os.environ, "ROS_DOMAIN_ID": str(own_domain())}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=540, env=env, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

    summary = json.loads((out / "summary.json").read_text())
    assert summary["trials"] == 6
    # In trials without ROS such a policy opens 16 of 18 doors.
    assert summary["successes"] >= 3
    assert summary["wilson_low"] <= summary["successes"] / 6 <= summary["wilson_high"]
    groups = {(g["policy"], g["condition"]): g for g in summary["groups"]}
    assert set(groups) == {
        (policy, difficulty)
        for policy in ("grasp point", "open loop")
        for difficulty in ("easy", "hard")
    }
    for difficulty in ("easy", "hard"):
        opened, first = (
            groups["grasp point", difficulty][key] for key in ("opened", "first_attempt")
        )
        assert opened["trials"] == first["trials"] == 3
        assert first["successes"] <= opened["successes"]
        assert groups["open loop", difficulty]["opened"]["trials"] == 1
    assert summary["control"]["trials"] == 2
    assert summary["demonstrations"] == 15
    assert summary["steps"] >= 6
    assert summary["latency_ms"]["stamp_to_command"]["count"] == summary["steps"]
    assert set(summary["by_cabinet"]) == {"oak", "white", "walnut"}

    videos = sorted((out / "videos").glob("*.mp4"))
    assert len(videos) == 8
    with av.open(str(videos[0])) as container:
        assert container.streams.video[0].codec_context.height == 480

    page = (out / "report.html").read_text()
    assert page.count("data:video/mp4") == 8
    assert not re.search(r"""(src|href)=["']https?:""", page)
    assert "Doors opened, easy" in page
    assert "Doors opened, hard" in page
    rows = json.loads((tmp_path / "results" / "foundation.json").read_text())["rows"]
    values = {row["name"]: row["value"] for row in rows}
    opened = sum(values[f"{name}, doors opened by grasp point"] for name in ("easy", "hard"))
    assert opened == summary["successes"]
    assert "easy, doors opened by open loop" in values
