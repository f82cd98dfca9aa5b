"""A person at the console's page records demonstrations by hand that open the simulated door."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs vinn[console]")
pytest.importorskip("mujoco", reason="needs the 'sim' extra")
pytest.importorskip("playwright", reason="steers the browser")

import yaml
from ros_domain import own_domain
from vinn.demos.store import Dataset
from vinn.recordings.rollout_demonstration import add_rollout
from vinn.robot.config import load_robot_config
from vinn.rollout.reader import summarize_recording
from vinn_ros.bringup import graph
from vinn_ros.bringup.processes import BringUp
from vinn_ros.paths import config_directory

from measure.headless_chromium import HeadlessChromium, find_chromium

pytestmark = [
    pytest.mark.ros,
    pytest.mark.physics,
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed"),
]

DEMONSTRATIONS = 5
APPROACH = [*["ArrowUp"] * 5, "PageUp"]
PULL = ["ArrowDown", "ArrowDown", "PageDown", "ArrowLeft"]
SWING = ["ArrowDown", "ArrowLeft"] * 12
STATE = "document.getElementById('state').dataset.state"
STEPS = "document.getElementById('steps').textContent"


async def until(page: HeadlessChromium, state: str) -> None:
    await page.wait_for(f"{STATE} == '{state}'", 120.0)


async def press(page: HeadlessChromium, key: str) -> bool:
    """One press, and its step is awaited; False: the rollout has ended."""
    # As a person sees that the last one is done: its buttons can be pressed again.
    await page.wait_for("!document.getElementById('grip').disabled")
    before = await page.evaluate(STEPS)
    await page.press(key)
    await page.wait_for(f"{STEPS} != {before!r} || {STATE} != 'RUNNING'", 60.0)
    return bool(await page.evaluate(f"{STATE} == 'RUNNING'"))


async def drive(page: HeadlessChromium) -> None:
    """Reset, drive up to the handle, close, swing the door open; as the page shows it."""
    await page.press("r")
    await until(page, "READY")
    await page.evaluate("document.querySelector('[data-do=drive-start]').click()")
    await until(page, "RUNNING")
    await page.wait_for("!document.getElementById('pad').hidden")
    await page.evaluate("document.getElementById('step-mm').value = 30")
    for key in APPROACH:
        assert await press(page, key)
    assert await press(page, "g")
    await page.wait_for("document.getElementById('grip-word').textContent == 'Open gripper'")
    for key in (*PULL, *SWING):
        if not await press(page, key):
            break
    await until(page, "ENDED")


@pytest.mark.crosses_processes(
    reason="nodes and a browser run as processes and have to find each other in time"
)
def test_a_person_at_the_page_records_demonstrations_that_open_the_door(tmp_path: Path) -> None:
    settings = yaml.safe_load((config_directory() / "robot" / "rollout_sim.yaml").read_text())
    settings["start_poses"] = {key: [0.0, 0.0] for key in ("right_m", "forward_m", "up_m")}
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    recordings = tmp_path / "recordings"
    specs = graph.door_opening("sim", recordings=str(recordings), console=True)
    # Nobody but the person decides: there is no policy at all.
    specs = [spec for spec in specs if spec.executable != "vinn_policy"]
    specs = graph.with_settings(
        specs,
        [
            f"rollout_supervisor.rollout_config='{tmp_path / 'rollout.yaml'}'",
            f"operator_console.port={port}",
        ],
    )
    environment = {**graph.environment("sim"), "ROS_DOMAIN_ID": str(own_domain())}

    async def sit_at_the_page() -> None:
        async with HeadlessChromium() as page:
            await page.size(1280, 860)
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for("document.body && document.body.dataset.link == 'on'")
            for _ in range(DEMONSTRATIONS):
                await drive(page)

    before = os.environ.get("ROS_DOMAIN_ID")
    os.environ["ROS_DOMAIN_ID"] = environment["ROS_DOMAIN_ID"]
    try:
        with BringUp(specs, environment) as nodes:
            assert nodes.wait_active(120.0)
            asyncio.run(asyncio.wait_for(sit_at_the_page(), 540.0))
    finally:
        os.environ.pop("ROS_DOMAIN_ID")
        if before is not None:
            os.environ["ROS_DOMAIN_ID"] = before
    files = sorted(recordings.glob("*.mcap"))
    assert len(files) == DEMONSTRATIONS
    mount = load_robot_config(config_directory() / "robot" / "stretch_sim.yaml").camera
    for file in files:
        outcome = summarize_recording(file).outcome
        assert outcome is not None
        assert (outcome["reason"], outcome["opened"]) == ("SUCCESS", "true")
        assert outcome["driven_steps"] == outcome["steps"]
        add_rollout(file, tmp_path / "demos", mount)
    demos = Dataset.open(tmp_path / "demos")
    assert len(demos.demonstrations) == DEMONSTRATIONS
    for demonstration in demos.demonstrations:
        assert np.linalg.norm(demonstration.camera_delta, axis=1).max() > 0.02
        assert demonstration.gripper.max() == 3
        frames = len(demonstration.gripper)
        assert demonstration.meta.provenance["driven_frames"] == list(range(frames))
