"""Which nodes make up a system, with their parameters: the one description of the graph.

The launch files and `vinn-bringup` both read it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from vinn.errors import ConfigError
from vinn.reading.documents import parse_yaml

from vinn_ros.paths import config_directory

ENCLAVES = "/vinn"
"""Where the SROS2 enclaves of the nodes lie (`config/sros2/policy.xml`)."""

ROBOTS = ("real", "sim")
"""A Stretch with its `stretch_driver`, or MuJoCo."""

CAMERA_TOPIC = "topic:"
"""A camera that begins so is the image topic of another node, e.g. Stretch's gripper camera."""

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class NodeSpec:
    """One node. `parameters` win over the files, later files over earlier ones."""

    name: str
    executable: str
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    package: str = "vinn_ros"
    required: bool = True
    """Whether the robot can do nothing without it; else it may end, and is started again."""

    @property
    def module(self) -> str:
        """The Python module of the executable."""
        return f"{self.package}.nodes.{self.executable}"

    @property
    def full_name(self) -> str:
        """The node's name with its namespace."""
        namespace = self.namespace.strip("/")
        return f"/{namespace}/{self.name}" if namespace else f"/{self.name}"

    def security_arguments(self) -> list[str]:
        """Where ROS 2 security is switched on: the enclave of this node."""
        if os.environ.get("ROS_SECURITY_ENABLE", "").lower() != "true":
            return []
        return ["--enclave", f"{ENCLAVES}/{self.executable}"]

    def ros_arguments(self) -> list[str]:
        """Command line arguments that start the node as described."""
        arguments = ["--ros-args", *self.security_arguments(), "-r", f"__node:={self.name}"]
        if self.namespace.strip("/"):
            arguments += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for source, target in self.remappings:
            arguments += ["-r", f"{source}:={target}"]
        for path in self.parameter_files:
            arguments += ["--params-file", str(path)]
        for name, value in self.parameters.items():
            # Flow style without the document end that PyYAML appends to scalars.
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6)
            arguments += ["-p", f"{name}:={text.removesuffix('...' + chr(10)).strip()}"]
        return arguments


def door_opening(
    robot: str = "sim",
    policy: str = "",
    *,
    namespace: str = "",
    parameter_files: Sequence[Path] = (),
    camera: str = "",
    recordings: str = "",
    console: bool = False,
    views: bool = False,
) -> list[NodeSpec]:
    """The system that opens a door, in the order in which its nodes start.

    Args:
        robot: one of `ROBOTS`.
        policy: directory of a policy artefact; empty: none is loaded yet.
        namespace: of all nodes.
        parameter_files: read after the package's own, so that they win.
        camera: source of the wrist camera on the real robot; empty: as configured;
            `topic:/NAME`: no camera node, frames are those of that topic (and NAME/compressed).
        recordings: directory for recordings; empty: as configured.
        console: also the operator's web page.
        views: also markers and transforms for RViz and Foxglove.

    Raises:
        vinn.errors.ConfigError: unknown robot, or a file does not exist.
    """
    if robot not in ROBOTS:
        raise ConfigError(f"robot: {robot!r}; allowed: {', '.join(ROBOTS)}")
    own = ["door_opening.yaml"] + (["door_opening_sim.yaml"] if robot == "sim" else [])
    files = _files(own, parameter_files)

    topic = camera.removeprefix(CAMERA_TOPIC) if camera.startswith(CAMERA_TOPIC) else ""
    if topic and (robot == "sim" or not topic.startswith("/")):
        raise ConfigError(f"camera: {camera!r}; allowed: {CAMERA_TOPIC}/NAME, on the real robot")
    remappings = _frames_of(topic) if topic else ()

    def node(
        name: str, parameters: Mapping[str, Value] | None = None, required: bool = True
    ) -> NodeSpec:
        return NodeSpec(
            name, name, files, parameters or {}, remappings, namespace, required=required
        )

    if robot == "sim":
        source = [node("stretch_sim")]
    elif topic:
        source = []
    else:
        source = [node("wrist_camera", {"source": camera} if camera else {})]
    kept: dict[str, Value] = {"recordings": _absolute(recordings)} if recordings else {}
    return [
        *source,
        node("stretch_executor"),
        node("vinn_policy", {"policy": _absolute(policy)} if policy else {}),
        node("rollout_supervisor", kept),
        *([node("operator_console", kept, required=False)] if console else []),
        *([node("views", required=False)] if views else []),
    ]


def _frames_of(topic: str) -> tuple[tuple[str, str], ...]:
    """Remappings that make the wrist camera of another node's image topic."""
    info = f"{topic.rpartition('/')[0]}/camera_info"
    return (
        ("wrist_camera/image_raw/compressed", f"{topic}/compressed"),
        ("wrist_camera/image_raw", topic),
        ("wrist_camera/camera_info", info),
    )


def replay(
    bag: str,
    policy: str,
    *,
    rate: float = 1.0,
    loop: bool = False,
    paused: bool = False,
    namespace: str = "",
    parameter_files: Sequence[Path] = (),
) -> list[NodeSpec]:
    """A recording played to a policy: what would it do?

    Raises:
        vinn.errors.ConfigError: a file does not exist.
    """
    files = _files(["door_opening.yaml"], parameter_files)
    parameters: dict[str, Value] = {
        "bag": _absolute(bag),
        "rate": float(rate),
        "loop": loop,
        "paused": paused,
    }
    return [
        NodeSpec(
            "vinn_policy", "vinn_policy", files, {"policy": _absolute(policy)}, namespace=namespace
        ),
        NodeSpec("bag_player", "bag_player", files, parameters, namespace=namespace),
    ]


WORDS = ("on", "off", "yes", "no")
"""Stay words in `--set`, as in YAML 1.2: `sign_check=off` means the word. PyYAML, which follows
1.1, would make them true and false."""


def with_settings(specs: Sequence[NodeSpec], settings: Sequence[str]) -> list[NodeSpec]:
    """The nodes with `NODE.PARAMETER=VALUE` settings; values are YAML.

    Raises:
        vinn.errors.ConfigError: malformed, or no such node.
    """
    by_name = {spec.name: spec for spec in specs}
    for setting in settings:
        target, equals, text = setting.partition("=")
        name, dot, parameter = target.partition(".")
        if not (equals and dot and parameter):
            raise ConfigError(f"--set {setting}: malformed; allowed: NODE.PARAMETER=VALUE")
        if name not in by_name:
            raise ConfigError(f"--set {setting}: no node {name!r}; allowed: {', '.join(by_name)}")
        value = text
        if text and text.lower() not in WORDS:
            value = parse_yaml(text, f"--set {setting}", ConfigError)
        spec = by_name[name]
        by_name[name] = replace(spec, parameters={**spec.parameters, parameter: value})
    return list(by_name.values())


def environment(robot: str = "sim") -> dict[str, str]:
    """Environment variables the nodes need; what the user has set stays as it is."""
    wanted = {
        _profile_variable(): str(config_directory() / _profile()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        # Nodes share the processor; each keeps to the threads its parameters name.
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if robot == "sim":
        wanted["MUJOCO_GL"] = "egl"
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def dds_profile() -> str:
    """The profile that nodes started here get: the user's, else the package's."""
    return environment()[_profile_variable()]


def _profile() -> str:
    """Of one machine, or of a network where nodes of other machines are let in."""
    # Humble does not know the variable; there it says the same to this stack.
    if os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST") in ("LOCALHOST", "OFF"):
        return "fastdds.xml"
    with_fast_dds_2 = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
    return "fastdds_2_network.xml" if with_fast_dds_2 else "fastdds_network.xml"


def _profile_variable() -> str:
    # Humble's Fast DDS knows only the old name; later ones warn about it.
    humble = os.environ.get("ROS_DISTRO") == "humble"
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if humble else "FASTDDS_DEFAULT_PROFILES_FILE"


def _files(own: Sequence[str], given: Sequence[Path]) -> tuple[Path, ...]:
    files = [config_directory() / name for name in own] + [Path(path).resolve() for path in given]
    for path in files:
        if not path.is_file():
            raise ConfigError(f"{path}: no such parameter file")
    return tuple(files)


def _absolute(path: str) -> str:
    """Paths mean the directory the user stands in, not the node's."""
    return str(Path(path).expanduser().resolve())
