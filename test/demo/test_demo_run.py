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


@pytest.mark.ros
@pytest.mark.physics
@pytest.mark.slow
def test_small_demo_runs_through(tmp_path):
    out = tmp_path / "demo"
    command = [
        sys.executable, "-m", "vinn_ros.demo", "--out", str(out), "--demos-per-cabinet", "3",
        "--trials", "1", "--control-trials", "1", "--results", str(tmp_path / "results"),
    ]  # fmt: skip
    env = {**os.environ, "ROS_DOMAIN_ID": str(own_domain())}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=540, env=env, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

    summary = json.loads((out / "summary.json").read_text())
    assert summary["trials"] == 3
    assert 0 <= summary["successes"] <= 3
    assert summary["wilson_low"] <= summary["successes"] / 3 <= summary["wilson_high"]
    assert summary["control"]["trials"] == 1
    assert summary["demonstrations"] == 9
    assert summary["steps"] >= 3
    assert summary["latency_ms"]["stamp_to_command"]["count"] == summary["steps"]
    assert set(summary["by_cabinet"]) == {"oak", "white", "walnut"}

    videos = sorted((out / "videos").glob("*.mp4"))
    assert len(videos) == 4
    with av.open(str(videos[0])) as container:
        assert container.streams.video[0].codec_context.height == 480

    page = (out / "report.html").read_text()
    assert page.count("data:video/mp4") == 4
    assert not re.search(r"""(src|href)=["']https?:""", page)
    rows = json.loads((tmp_path / "results" / "foundation.json").read_text())["rows"]
    assert any(row["name"] == "doors opened by the policy" for row in rows)
