"""Images on a network that loses packets: what is lost of one is sent again, and it arrives."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from measure.network.bad_link import Settings, two_hosts
from measure.network.cell import without_shared_memory

pytestmark = [
    pytest.mark.alone,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(reason="camera and listener are processes on two hosts"),
]

CONFIG = Path(__file__).parents[2] / "config"
PROGRAM = Path(__file__).parents[1] / "fakes/lossy_camera.py"
FRAMES, JPEG_BYTES = 45, 14_000
"""An image of 224 x 224 takes ten packets: at a loss of 10 % two of three miss at least one."""


def start(host: str, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ip", "netns", "exec", host, sys.executable, str(PROGRAM), *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen[str], line: str = "") -> str:
    """What a process says, after it was told to go on, if it was."""
    assert process.stdin is not None and process.stdout is not None
    if line:
        process.stdin.write(line)
        process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize(("delay_s", "loss"), [(0.0, 0.02), (0.0, 0.1), (0.02, 0.1)])
def test_images_arrive_though_packets_are_lost(tmp_path: Path, delay_s: float, loss: float) -> None:
    profile = without_shared_memory(CONFIG / "fastdds_network.xml", tmp_path / "dds.xml")
    environment = {
        "FASTDDS_DEFAULT_PROFILES_FILE": str(profile),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "ROS_DOMAIN_ID": "0",  # two hosts of their own
    }
    robot, policy = f"vinn-cam-{os.getpid()}", f"vinn-pol-{os.getpid()}"
    with ExitStack() as stack:
        try:
            link = stack.enter_context(two_hosts(robot, policy))
        except SystemExit as why:
            pytest.skip(str(why))
        listener = start(policy, environment, "hear")
        stack.callback(listener.kill)
        camera = start(robot, environment, "send", str(FRAMES), str(JPEG_BYTES))
        stack.callback(camera.kill)
        assert ask(camera) == "heard of"
        link.be(Settings(delay_s=delay_s, loss=loss))
        assert ask(camera, "go\n") == "sent"
        taken, lost = link.be(Settings())[0]
        heard = int(ask(listener, "end\n"))
    assert lost > 0.5 * loss * taken > 0
    assert heard >= 0.8 * FRAMES
