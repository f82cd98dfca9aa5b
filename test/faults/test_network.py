"""Across machines: the policy on another host, behind a network that delays and loses."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from fault_measure import Measure
from fault_settings import SETTINGS
from fault_stack import Stack, running_stack
from relay import BadNetwork, Relay
from sensor_msgs.msg import CompressedImage

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.crosses_processes(
        reason="three nodes run as processes against watchdogs, and a busy machine may stall one"
    ),
]

_CLONE_NEWNET = 0x40000000
HOST, LINK, PEER = f"vinn{os.getpid() % 10000}", "vinn-a", "vinn-b"
PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com"><profiles>
  <transport_descriptors><transport_descriptor>
    <transport_id>udp</transport_id><type>UDPv4</type>
  </transport_descriptor></transport_descriptors>
  <participant profile_name="udp_only" is_default_profile="true"><rtps>
    <useBuiltinTransports>false</useBuiltinTransports>
    <userTransports><transport_id>udp</transport_id></userTransports>
  </rtps></participant>
</profiles></dds>
"""
"""Two namespaces share a machine: without shared memory everything goes through the wire."""


def _ip(*arguments: str) -> bool:
    done = subprocess.run(["ip", *arguments], capture_output=True, check=False)
    return done.returncode == 0


@contextlib.contextmanager
def second_host() -> Iterator[None]:
    """A network namespace, joined to this one by a pair of virtual Ethernet devices."""
    if shutil.which("ip") is None:
        pytest.skip("no ip command: network namespaces cannot be made")
    if not _ip("netns", "add", HOST):
        pytest.skip("network namespaces are not permitted here (needs CAP_SYS_ADMIN)")
    try:
        made = (
            _ip("link", "add", LINK, "type", "veth", "peer", "name", PEER, "netns", HOST)
            and _ip("addr", "add", "10.77.0.1/24", "dev", LINK)
            and _ip("link", "set", LINK, "up")
            and _ip("-n", HOST, "addr", "add", "10.77.0.2/24", "dev", PEER)
            and _ip("-n", HOST, "link", "set", PEER, "up")
            and _ip("-n", HOST, "link", "set", "lo", "up")
        )
        if not made:
            pytest.skip("this kernel makes no virtual Ethernet devices")
        yield
    finally:
        _ip("link", "del", LINK)
        _ip("netns", "del", HOST)


class SecondHost:
    """A thread that lives in the other namespace; what it starts does as well.

    It stays, since the nodes go when the thread that started them has gone.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._pool.submit(self._move).result()

    def __call__(self, do: Callable[[], None]) -> None:
        self._pool.submit(do).result()

    @staticmethod
    def _move() -> None:
        with Path(f"/var/run/netns/{HOST}").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


@pytest.mark.alone
def test_the_policy_on_another_host(tmp_path: Path) -> None:
    """In a process of its own: Fast DDS looks for network devices once in a process.

    Here an earlier test has made a participant, before there was a link to the other host.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        fresh.submit(_policy_on_another_host, tmp_path).result()


def _policy_on_another_host(directory: Path) -> None:
    profile = directory / "udp.xml"
    profile.write_text(PROFILE)
    os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(profile)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
    measure = Measure(27)
    with (
        second_host(),
        running_stack(directory, elsewhere={"vinn_policy": SecondHost()}) as stack,
    ):
        delayed = subprocess.run(
            ["tc", "qdisc", "add", "dev", LINK, "root", "netem", "delay", "10ms", "loss", "1%"],
            capture_output=True,
            check=False,
        )
        stack.run("two hosts", pace=2.0)
        for _ in range(5):
            stack.wait_motion()
        stack.stop()
        assert stack.status.reason == "OPERATOR_STOP"
        stack.run("cable out")
        halt = stack.fault(lambda: _ip("link", "set", LINK, "down") or None)
        measure.time("halt when the cable is pulled (two hosts)", halt.halt_s, "halt_s")
        assert halt.status.reason == "POLICY_LOST", halt.status.message
        _ip("link", "set", LINK, "up")
        measure.value("motions after the cable is back", stack.expect_no_motion(), "", "== 0")
        how = "10 ms delay and 1 % loss" if delayed.returncode == 0 else "no netem in this kernel"
        measure.value(f"steps with the policy on a second host ({how})", 5, "", ">= 5")


def test_images_late_and_lost_on_their_way_to_the_policy(tmp_path: Path) -> None:
    """80 to 120 ms on the way and one in twenty lost: rollouts go on, with honest image ages."""
    remap = ("wrist_camera/image_raw/compressed", "relayed/compressed")
    assert "vinn_policy.min_sharpness=30.0" in SETTINGS
    with running_stack(tmp_path) as stack:
        network = BadNetwork(delay_s=(0.08, 0.12), drop=0.05)
        relay = stack.ros.add(Relay(CompressedImage, remap[0], remap[1], network))
        stack.respawn("vinn_policy", remap=remap)
        _roll(stack)
        measure = Measure(27)
        measure.value("images lost on the way", relay.dropped, f"of {relay.taken}", None)
        measure.value("steps with images 80 to 120 ms late", 5, "", ">= 5")


def _roll(stack: Stack) -> None:
    stack.run("late images", pace=2.0)
    for _ in range(5):
        stack.wait_motion()
    stack.stop()
    assert stack.status.reason == "OPERATOR_STOP"
