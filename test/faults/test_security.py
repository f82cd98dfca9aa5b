"""The SROS2 policy allows each node exactly what it declares, and nobody else's topics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy
from ros_domain import own_domain
from ros_harness import Harness, ros_context
from vinn_ros.api_reference import NODES
from vinn_ros.bringup.graph import door_opening
from vinn_ros.node.client_node import client_node
from vinn_ros.security_policy import policy

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config" / "sros2" / "policy.xml"
VERBS = {
    "publishes": ("topics", "publish"),
    "subscribes": ("topics", "subscribe"),
    "serves": ("services", "reply"),
    "calls": ("services", "request"),
    "serves action": ("actions", "execute"),
    "calls action": ("actions", "call"),
}


@pytest.fixture
def ros() -> Iterator[Harness]:
    with ros_context() as harness:
        yield harness


def allowed(enclave: str) -> set[tuple[str, str, str]]:
    root = ElementTree.parse(FILE).getroot()
    (profile,) = root.findall(f".//enclave[@path='/vinn/{enclave}']/profiles/profile")
    return {
        (group.tag, verb, str(entry.text))
        for group in profile
        for verb in group.attrib
        for entry in group
    }


def documented() -> dict[str, set[tuple[str, str, str]]]:
    """What docs/ros-api.md says of each node."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    node = ""
    for line in (ROOT / "docs" / "ros-api.md").read_text().splitlines():
        if line.startswith("## "):
            node = line.removeprefix("## ").strip()
        row = re.match(r"\| ([a-z ]+) \| `([^`]+)` \| \w+/(msg|srv|action)/", line)
        if row and node in NODES:
            element, verb = VERBS[row.group(1)]
            found.setdefault(node, set()).add((element, verb, row.group(2)))
    return found


def test_the_file_is_what_the_nodes_declare(ros: Harness) -> None:
    assert FILE.read_text() == policy(), (
        "run: python -m vinn_ros.security_policy > config/sros2/policy.xml"
    )


@pytest.mark.parametrize("node", NODES)
def test_a_node_may_do_what_is_documented_and_nothing_else(node: str) -> None:
    in_file = allowed(node)
    wanted = documented()[node]
    assert wanted <= in_file
    others = {
        entry
        for entry in in_file - wanted
        # What every node has: parameters, lifecycle, logging, diagnostics.
        if not entry[2].startswith(("~/", "/")) and not entry[2].endswith("_parameters")
    }
    assert others == set()


def test_only_the_executor_may_move_the_robot() -> None:
    movers = [
        spec.executable
        for spec in door_opening("real", console=True, views=True)
        if ("topics", "publish", "joint_pose_cmd") in allowed(spec.executable)
    ]
    assert movers == ["stretch_executor"]
    assert ("topics", "publish", "joint_pose_cmd") not in allowed("operator")
    steppers = [node for node in NODES if ("actions", "call", "executor/step") in allowed(node)]
    assert steppers == ["rollout_supervisor"]


def test_operator_and_doctor_may_ask_what_their_commands_ask() -> None:
    operator = allowed("operator")
    source = (ROOT / "src" / "vinn_ros" / "vinn_ros" / "operator.py").read_text()
    asked = set(re.findall(r'"([a-z_]+/[a-z_]+|home_the_robot)"', source)) - {"supervisor/status"}
    assert {"supervisor/environment_ready", "executor/save_start", "policy/load"} <= asked
    assert {("services", "request", name) for name in asked} <= operator
    for topic in ("stretch/joint_states", "battery", "wrist_camera/image_raw/compressed"):
        assert ("topics", "subscribe", topic) in operator
    assert {name for _, verb, name in operator if verb == "publish"} == {
        "/parameter_events",
        "/rosout",
    }


def test_commands_offer_nothing_and_so_fit_into_any_enclave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(own_domain()))
    node = client_node("operator", "left")
    try:
        assert node.get_namespace() == "/left"
        assert list(node.services) == []
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def test_the_driver_gets_the_other_side() -> None:
    driver = allowed("stretch_driver")
    assert ("services", "reply", "stow_the_robot") in driver
    assert ("actions", "execute", "stretch_controller/follow_joint_trajectory") in driver
    assert ("topics", "subscribe", "joint_pose_cmd") in driver
    assert ("topics", "publish", "stretch/joint_states") in driver
    assert ("services", "reply", "stop_the_robot") in driver
    assert not any(name.startswith(("policy/", "supervisor/")) for _, _, name in driver)
