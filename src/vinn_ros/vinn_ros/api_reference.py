"""`python -m vinn_ros.api_reference`: topics, services and parameters as the nodes declare them.

Prints `docs/ros-api.md`; a test compares the two.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import rclpy
from rclpy.action import (
    get_action_client_names_and_types_by_node,
    get_action_server_names_and_types_by_node,
)

from vinn_ros.node.lifecycle import VinnNode
from vinn_ros.node.parameters import Parameter

NODES = (
    "wrist_camera",
    "vinn_policy",
    "stretch_executor",
    "rollout_supervisor",
    "stretch_sim",
    "bag_player",
    "operator_console",
    "views",
)

MEANINGS = {
    "/diagnostics": "recorded: how the nodes are",
    "/parameter_events": "recorded: who changed what",
    "activate_streaming_position": "begin to follow `joint_pose_cmd`",
    "bag_player/pause": "hold, or go on",
    "bag_player/step": "play one message while paused",
    "battery": "voltage",
    "deactivate_streaming_position": "stop following `joint_pose_cmd`",
    "executor/jog": "a small motion along the camera's axes, outside of rollouts",
    "executor/save_start": "where the robot stands now is where rollouts start",
    "executor/clear_latch": "allow motion again after a fault",
    "executor/home": "open the gripper and go to the start pose, displaced",
    "executor/status": "state, reason code, and the last step as requested, as sent, as measured",
    "executor/step": "one step of the running session",
    "executor/stop": "hold now; holds for the rest of the session",
    "get_joint_states": "publish `joint_limits`",
    "home_the_robot": "home all joints",
    "is_homed": "whether the joints are homed",
    "is_runstopped": "whether the runstop is pressed",
    "is_streaming_position": "whether `joint_pose_cmd` is followed, where the driver tells",
    "joint_limits": "lower limits as positions, upper limits as velocities",
    "joint_pose_cmd": "targets for every joint, base as increments (see `pose_layout`)",
    "mode": "position, navigation or trajectory",
    "odom": "base pose since the start (simulation: since the last reset)",
    "overview_camera/image_raw/compressed": "the scene from beside the robot, if someone looks",
    "policy/load": "use another policy artefact; the old one stays if that fails",
    "policy/markers": "arrows of prediction and neighbours in the camera's frame; the grasp point",
    "policy/neighbors/compressed": "query and neighbours with arrows, if someone looks",
    "policy/prediction": "what the policy wants next, from which image",
    "policy/status": "why a frame was refused, and that one is fit again",
    "runstop": "press or release the runstop",
    "scene/reset": "close the door, put the robot back",
    "scene/status": "ground truth: door angle, grasped, opened, fully opened",
    "stop_the_robot": "hold every joint",
    "stretch/joint_states": "positions and velocities by name",
    "supervisor/label_rollout": "the operator's verdict on the last rollout",
    "supervisor/reset": "scene and robot to the start; answers when done",
    "supervisor/rollout": "start one rollout and wait for it; cancel: stop",
    "supervisor/start_rollout": "start one rollout; refused unless READY",
    "supervisor/status": "state, session, step, outcome, recording; renews the executor's lease",
    "supervisor/drive": "one step by hand, for who has control; answers when it has ended",
    "supervisor/driven_step": "a step by hand as it was asked for, and its image",
    "supervisor/take_over": "true: the operator has control; false: the policy has it again",
    "supervisor/environment_ready": "tells a reset that waits for it that all is in place",
    "supervisor/step": "let the one step happen that waits in step mode",
    "supervisor/stop_rollout": "end what is under way, and all motion",
    "switch_to_navigation_mode": "mode in which the base follows velocities",
    "switch_to_position_mode": "mode in which steps run",
    "switch_to_trajectory_mode": "mode for whole trajectories",
    "tool": "name of the mounted tool",
    "wrist_camera/camera_info": "intrinsics, with the image's stamp",
    "wrist_camera/image_raw": "raw RGB, if someone listens",
    "wrist_camera/image_raw/compressed": "JPEG, stamped at capture; each frame once",
}

_KINDS = {
    "publishers": "publishes",
    "subscriptions": "subscribes",
    "services": "serves",
    "clients": "calls",
}
_OF_EVERY_NODE = ("rosout", "transition_event")
_STANDARD = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/")

_INTRODUCTION = """# Nodes: topics, services, parameters

Made by `python -m vinn_ros.api_reference > docs/ros-api.md`; a test compares it with the nodes'
declarations. Names are relative: a namespace moves them all. Reason codes are those of
`vinn.robot.types.ReasonCode`.

What drivers publish (camera, joint states, odometry, the robot's state) is heard whether it is
sent reliably or best effort; all else is reliable, and a publisher that is not is an ERROR in
`/diagnostics` with its topic's name. Image topics bring JPEG or PNG, raw ones `rgb8`, `bgr8`,
`rgba8`, `bgra8` or `mono8`, padded or not; what else comes is refused by name.

Every node is a lifecycle node that configures and activates itself unless `autostart` is false.
A bad parameter is refused with its name and range, at start (one line, exit code 2) and at run
time (the value stays). Each publishes `/diagnostics`, in which a halt names its reason code.
SIGINT and SIGTERM end a node with exit code 0, also while it still loads (within 5 s, whatever it
is doing; before the interpreter itself has started, only `vinn-bringup` can hold them back).
Parameters marked *run time* can be changed with `ros2 param set`; the others only at start, so
`use_sim_time`. A service that fails for a reason nobody thought of answers `INTERNAL_ERROR` and
leaves the node as it was; a message that cannot be taken is dropped and named in `/diagnostics`.
"""


def interfaces(node: VinnNode) -> Iterator[tuple[str, str, str]]:
    """(kind, name, type) of what a node offers and uses, without what every node has."""
    own = f"{node.get_name()}/"
    for attribute, kind in _KINDS.items():
        for entity in getattr(node, attribute):
            name = getattr(entity, "topic_name", None) or entity.srv_name
            interface = entity.msg_type if hasattr(entity, "msg_type") else entity.srv_type
            type_name = _type_name(interface)
            relative = _relative(name)
            # Every node publishes these, and asking for parameters is no interface of its own.
            standard = type_name.startswith(_STANDARD) or relative == "/diagnostics"
            if relative.removeprefix(own) in _OF_EVERY_NODE or (standard and kind != "subscribes"):
                continue
            yield kind, relative, type_name
    for kind, found in (
        ("serves action", get_action_server_names_and_types_by_node),
        ("calls action", get_action_client_names_and_types_by_node),
    ):
        for name, (type_name,) in found(node, node.get_name(), node.get_namespace()):
            yield kind, _relative(name), type_name


def parameter_rows(parameters: Iterable[Parameter]) -> Iterator[str]:
    """Rows of a node's parameter table."""
    for parameter in parameters:
        default = json.dumps(parameter.default) if parameter.default != "" else "empty"
        run_time = "yes" if parameter.run_time else ""
        yield (
            f"| `{parameter.name}` | {parameter.type_name} | {default} | {parameter.allowed} "
            f"| {run_time} | {parameter.description} |"
        )


def reference() -> str:
    """The page. rclpy must be initialised."""
    parts = [_INTRODUCTION]
    common: tuple[Parameter, ...] = ()
    for name in NODES:
        module = importlib.import_module(f"vinn_ros.nodes.{name}")
        node: VinnNode = module.NODE([])
        common = node.COMMON_PARAMETERS
        room = importlib.import_module(module.NODE.__module__)
        summary = (room.__doc__ or "").splitlines()[0]
        parts += [
            f"## {name}\n",
            f"{summary}\n",
            "| | name | type | meaning |",
            "|---|---|---|---|",
        ]
        parts += [
            f"| {kind} | `{topic}` | {type_name} | {MEANINGS[topic]} |"
            for kind, topic, type_name in sorted(set(interfaces(node)))
        ]
        if name == "bag_player":
            parts.append("\nIt publishes the recorded topics that `topics` names, as recorded.")
        parts += ["", *_parameter_head(), *parameter_rows(node.PARAMETERS), ""]
        node.destroy_node()
    parts += ["## Every node\n", *_parameter_head(), *parameter_rows(common)]
    return "\n".join(parts) + "\n"


def _parameter_head() -> list[str]:
    return [
        "| parameter | type | default | allowed | run time | meaning |",
        "|---|---|---|---|---|---|",
    ]


def _relative(name: str) -> str:
    return name if name in ("/diagnostics", "/parameter_events") else name.lstrip("/")


def _type_name(interface: Any) -> str:
    package, kind = interface.__module__.split(".")[:2]
    return f"{package}/{kind}/{interface.__name__}"


def main() -> None:
    """Print the page."""
    rclpy.init(args=[])
    print(reference(), end="")
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
