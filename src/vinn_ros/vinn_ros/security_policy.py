"""`python -m vinn_ros.security_policy`: the SROS2 policy that allows each node exactly its topics.

Prints `config/sros2/policy.xml`, one enclave `/vinn/NODE` per node, from what the nodes declare; a
test compares the two. The enclave of `stretch_driver` gets what the nodes of the robot expect of
it and what it has besides, and `/vinn/operator` what `vinn-operator`, `vinn doctor` and a person
with `ros2 service call` ask for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import rclpy
from rclpy.action import (
    get_action_client_names_and_types_by_node,
    get_action_server_names_and_types_by_node,
)
from rclpy.node import Node

from vinn_ros.api_reference import NODES
from vinn_ros.bringup.graph import ENCLAVES, door_opening
from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.supervisor.preflight_probe import PreflightProbe

Permission = tuple[str, str, str]
"""Element (topics, services, actions), attribute (publish, reply, ...), name relative to `ns`."""

_ENTITIES = {
    "publishers": ("topics", "publish"),
    "subscriptions": ("topics", "subscribe"),
    "services": ("services", "reply"),
    "clients": ("services", "request"),
}
_OF_ACTIONS = (
    (get_action_server_names_and_types_by_node, "execute"),
    (get_action_client_names_and_types_by_node, "call"),
)
_OPPOSITE = {"publish": "subscribe", "subscribe": "publish", "request": "reply"}
_EVERY_NODE: tuple[Permission, ...] = (
    ("topics", "publish", "/rosout"),
    ("topics", "publish", "/parameter_events"),
    ("services", "reply", "~/get_type_description"),
)
"""What rclpy adds by itself, where it does."""
_PARAMETER_SERVICES = (
    *("describe_parameters", "get_parameter_types", "get_parameters", "list_parameters"),
    *("set_parameters", "set_parameters_atomically"),
)
_STANDARD = (
    *("change_state", "get_state", "get_available_states", "get_available_transitions"),
    *("get_transition_graph", "transition_event", "get_type_description"),
    *_PARAMETER_SERVICES,
)
_NOT_OF_THE_DRIVER = ("executor/", "policy/", "scene/", "supervisor/", "wrist_camera", "overview")
_DRIVER: tuple[Permission, ...] = (
    *(
        ("services", "reply", name)
        for name in (
            *("home_the_robot", "stow_the_robot", "runstop", "self_collision_avoidance"),
            *("switch_to_navigation_mode", "switch_to_trajectory_mode"),
            *(f"~/{name}" for name in _PARAMETER_SERVICES),
        )
    ),
    *(
        ("topics", "publish", name)
        for name in ("/diagnostics", "/tf", "imu_mobile_base", "imu_wrist")
    ),
    ("topics", "publish", "magnetometer_mobile_base"),
    ("topics", "subscribe", "stretch/cmd_vel"),
    ("actions", "execute", "stretch_controller/follow_joint_trajectory"),
)
"""What Hello Robot's driver declares at its start though no node here asks for it: refused that, it
would not come up."""
_OPERATOR: tuple[Permission, ...] = (
    *(("topics", "subscribe", f"{name}/status") for name in ("supervisor", "executor", "policy")),
    ("topics", "subscribe", "/diagnostics"),
    *(
        ("services", "request", name)
        for name in (
            "bag_player/pause",
            "bag_player/step",
            "executor/clear_latch",
            "executor/save_start",
            "executor/stop",
            "get_joint_states",
            "home_the_robot",
            "policy/load",
            "rollout_supervisor/get_parameters",
            "supervisor/drive",
            "supervisor/environment_ready",
            "supervisor/label_rollout",
            "supervisor/reset",
            "supervisor/start_rollout",
            "supervisor/step",
            "supervisor/stop_rollout",
            "supervisor/take_over",
        )
    ),
    ("actions", "call", "supervisor/rollout"),
)


def permissions(node: Node) -> set[Permission]:
    """Everything a node offers and uses."""
    found = {*_EVERY_NODE, ("topics", "publish", "~/transition_event")}
    own = f"{node.get_name()}/"

    def relative(name: str) -> str:
        if name in ("/diagnostics", "/parameter_events", "/rosout", "/clock"):
            return name
        name = name.lstrip("/")
        standard = name.startswith(own) and name.removeprefix(own) in _STANDARD
        return f"~/{name.removeprefix(own)}" if standard else name

    for attribute, (element, verb) in _ENTITIES.items():
        for entity in getattr(node, attribute):
            name = getattr(entity, "topic_name", None) or entity.srv_name
            found.add((element, verb, relative(name)))
    for ask, verb in _OF_ACTIONS:
        for name, _ in ask(node, node.get_name(), node.get_namespace()):
            found.add(("actions", verb, relative(name)))
    return found


def node_permissions() -> dict[str, set[Permission]]:
    """Of every node of this package, by name. rclpy must be initialised."""
    found = {}
    for name in NODES:
        node: VinnNode = importlib.import_module(f"vinn_ros.nodes.{name}").NODE([])
        found[name] = permissions(node)
        node.destroy_node()
    return found


def doctor_permissions() -> set[Permission]:
    """What `vinn doctor` listens to. rclpy must be initialised."""
    node = Node("doctor")
    PreflightProbe(node, Path()).listen_to_streams()
    found = {entry for entry in permissions(node) if entry[1] == "subscribe"}
    node.destroy_node()
    return found


def driver_permissions(nodes: dict[str, set[Permission]]) -> set[Permission]:
    """What the robot's nodes expect of `stretch_driver`: the other side of what they use."""
    used = set().union(*(nodes[spec.executable] for spec in door_opening("real")))
    offered = {(element, verb, name) for element, verb, name in used}
    found = {*_EVERY_NODE, *_DRIVER}
    for element, verb, name in used:
        opposite = _OPPOSITE.get(verb)
        if (
            opposite is not None
            and element != "actions"
            and (element, opposite, name) not in offered
            and not name.startswith((*_NOT_OF_THE_DRIVER, "/", "~"))
            and name.partition("/")[0] not in nodes
        ):
            found.add((element, opposite, name))
    return found


def profiles() -> dict[str, set[Permission]]:
    """Enclave name to what it may do."""
    nodes = node_permissions()
    return {
        **nodes,
        "stretch_driver": driver_permissions(nodes),
        "operator": {*_EVERY_NODE, *_OPERATOR, *doctor_permissions()},
    }


def policy() -> str:
    """The policy file."""
    root = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(root, "enclaves")
    for name, allowed in sorted(profiles().items()):
        enclave = ElementTree.SubElement(enclaves, "enclave", path=f"{ENCLAVES}/{name}")
        parts = ElementTree.SubElement(enclave, "profiles")
        profile = ElementTree.SubElement(parts, "profile", ns="/", node=name)
        for element, verb, names in _grouped(allowed):
            group = ElementTree.SubElement(profile, element, {verb: "ALLOW"})
            for entry in names:
                ElementTree.SubElement(group, element.removesuffix("s")).text = entry
    ElementTree.indent(root)
    head = "<!-- Made by `python -m vinn_ros.security_policy`; see docs/safety.md. -->"
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{text}\n'


def _grouped(allowed: set[Permission]) -> Iterator[tuple[str, str, list[str]]]:
    for element, verb in sorted({(element, verb) for element, verb, _ in allowed}):
        yield element, verb, sorted(name for e, v, name in allowed if (e, v) == (element, verb))


def main() -> None:
    """Print the file."""
    rclpy.init(args=[])
    print(policy(), end="")
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
