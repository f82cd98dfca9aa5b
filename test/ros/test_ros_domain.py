"""Test runs beside each other: no two of them in one ROS domain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rclpy.exceptions import InvalidHandle
from ros_domain import DOMAINS, held, own_domain
from ros_harness import ros_context
from stretch_driver import FakeStretchDriver

MANY_TESTS = 30
RUN = f"""
import json, sys
from ros_domain import own_domain
print(json.dumps([own_domain() for _ in range({MANY_TESTS})]), flush=True)
sys.stdin.read()
"""


def test_runs_at_once_share_no_domain_and_hand_theirs_on() -> None:
    mine = {own_domain() for _ in range(MANY_TESTS)}
    for _ in range(2):  # the second time in what the first ones left
        others = [
            subprocess.Popen(
                [sys.executable, "-c", RUN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parent,
            )
            for _ in range(4)
        ]
        used = [mine]
        for other in others:
            assert other.stdout is not None
            used.append(set(json.loads(other.stdout.readline())))
        for other in others:
            other.communicate()
        assert len(set.union(*used)) == sum(len(domains) for domains in used)
        assert set.union(*used) <= set(DOMAINS)


def test_tests_that_follow_each_other_have_different_domains() -> None:
    domains = [own_domain() for _ in range(MANY_TESTS)]
    for first, second, third in zip(domains, domains[1:], domains[2:], strict=False):
        assert len({first, second, third}) == 3


def test_a_domain_that_is_held_is_given_to_nobody() -> None:
    domain = own_domain()
    with held(domain), held(domain):
        assert domain not in [own_domain() for _ in range(MANY_TESTS)]
    assert domain in [own_domain() for _ in range(MANY_TESTS)]


@pytest.mark.ros
def test_what_a_failed_test_holds_on_to_is_not_seen_by_the_next() -> None:
    with ros_context() as ros:
        kept = ros.add(FakeStretchDriver())
        assert "stretch_driver" in kept.get_node_names()
    for node in (kept, ros.node):
        with pytest.raises(InvalidHandle):
            node.get_node_names()
