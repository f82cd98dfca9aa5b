"""The launch files start what `vinn_ros.bringup.graph` describes.

They run against a recording stand-in for `launch` and `launch_ros` in a fresh interpreter, and
against the real packages where these are importable.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vinn_ros.bringup.graph import ROBOTS, NodeSpec, door_opening, replay

ROOT = Path(__file__).parents[2]
RECORDER = ROOT / "test" / "fakes" / "launch_recorder"
DOOR_OPENING = ROOT / "launch" / "door_opening.launch.py"
REPLAY = ROOT / "launch" / "replay.launch.py"

# `find_spec` alone would find the checkout's own folder launch/.
REAL_LAUNCH = (
    subprocess.run(
        [sys.executable, "-c", "import launch.actions, launch_ros.actions"],
        cwd="/",
        capture_output=True,
        check=False,
    ).returncode
    == 0
)

EVALUATE = """
import dataclasses, json, sys
from pathlib import Path
from recorder import declared, record

path, given = Path(sys.argv[1]), json.loads(sys.argv[2])
if given is None:
    print(json.dumps({name: dataclasses.asdict(a) for name, a in declared(path).items()}))
else:
    recording = record(path, given)
    print(json.dumps({
        "environment": recording.environment,
        "nodes": [dataclasses.asdict(node) for node in recording.nodes.values()],
    }, default=lambda value: value.__name__))
"""


def evaluate(path: Path, given: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(RECORDER)}
    for name in ("MUJOCO_GL", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", EVALUATE, str(path), json.dumps(given)],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def started(path: Path, **given: str) -> dict[str, Any]:
    result = evaluate(path, given)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def arguments_of(path: Path) -> dict[str, dict[str, Any]]:
    result = evaluate(path, None)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def as_started(spec: NodeSpec) -> dict[str, Any]:
    """What the stand-in must have recorded for a node of the graph."""
    parameters: list[Any] = [str(path) for path in spec.parameter_files]
    if spec.parameters:
        parameters.append(
            {
                name: {"value": value, "value_type": "str"} if isinstance(value, str) else value
                for name, value in spec.parameters.items()
            }
        )
    return {
        "package": "vinn_ros",
        "executable": spec.executable,
        "name": spec.name,
        "namespace": spec.namespace,
        "parameters": parameters,
        "remappings": [list(remapping) for remapping in spec.remappings],
        "ros_arguments": ["--log-level", "info"],
        "output": "screen",
        "on_exit": (
            {"reason": f"{spec.name} ended"}
            if spec.required
            else {"msg": f"WARNING: {spec.name} ended: the robot does without it meanwhile"}
        ),
        "respawn": not spec.required,
        "respawn_delay": 10.0,
    }


@pytest.mark.parametrize("path", [DOOR_OPENING, REPLAY], ids=lambda path: path.name)
def test_every_argument_explains_itself(path: Path) -> None:
    for name, argument in arguments_of(path).items():
        assert len(argument["description"]) > 10, name
        if argument["choices"]:
            assert argument["default_value"] in argument["choices"], name


def test_only_what_replay_cannot_guess_is_required() -> None:
    required = {
        name for name, argument in arguments_of(REPLAY).items() if argument["default_value"] is None
    }
    assert required == {"bag", "policy"}
    assert all(
        argument["default_value"] is not None for argument in arguments_of(DOOR_OPENING).values()
    )


def test_door_opening_is_for_the_robot_unless_told_otherwise() -> None:
    argument = arguments_of(DOOR_OPENING)["robot"]
    assert (argument["default_value"], argument["choices"]) == ("real", list(ROBOTS))


@pytest.mark.parametrize("robot", ROBOTS)
def test_door_opening_starts_the_graph(robot: str) -> None:
    recorded = started(DOOR_OPENING, robot=robot)
    assert recorded["nodes"] == [as_started(spec) for spec in door_opening(robot)]


def test_door_opening_hands_every_argument_on(tmp_path: Path) -> None:
    parameters = tmp_path / "mine.yaml"
    parameters.write_text("{}")
    recorded = started(
        DOOR_OPENING,
        policy=str(tmp_path / "policy"),
        namespace="stretch_7",
        params_file=str(parameters),
        camera_device="0",
        recordings=str(tmp_path / "rollouts"),
    )
    graph = door_opening(
        "real",
        str(tmp_path / "policy"),
        namespace="stretch_7",
        parameter_files=[parameters],
        camera="0",
        recordings=str(tmp_path / "rollouts"),
    )
    assert recorded["nodes"] == [as_started(spec) for spec in graph]
    camera = next(node for node in recorded["nodes"] if node["name"] == "wrist_camera")
    assert {"source": {"value": "0", "value_type": "str"}} in camera["parameters"]


@pytest.mark.parametrize("path", sorted((ROOT / "launch").glob("*.py")), ids=lambda p: p.name)
@pytest.mark.parametrize("namespace", ["left", "lab/left"])
def test_every_launch_file_puts_all_its_nodes_into_the_namespace(
    path: Path, namespace: str, tmp_path: Path
) -> None:
    needed = {
        name: str(tmp_path / name)
        for name, argument in arguments_of(path).items()
        if argument["default_value"] is None
    }
    plain = started(path, **needed)["nodes"]
    moved = started(path, namespace=namespace, **needed)["nodes"]
    assert len(plain) > 1 and [node["namespace"] for node in moved] == [namespace] * len(plain)
    assert moved == [{**node, "namespace": namespace} for node in plain]


def test_door_opening_starts_the_chosen_nodes_alone() -> None:
    recorded = started(DOOR_OPENING, nodes="vinn_policy, rollout_supervisor")
    assert {node["name"] for node in recorded["nodes"]} == {"vinn_policy", "rollout_supervisor"}


def test_replay_starts_the_graph(tmp_path: Path) -> None:
    bag, policy = str(tmp_path / "a.mcap"), str(tmp_path / "policy")
    recorded = started(REPLAY, bag=bag, policy=policy, rate="0.5", loop="true", paused="true")
    assert recorded["nodes"] == [
        as_started(spec) for spec in replay(bag, policy, rate=0.5, loop=True, paused=True)
    ]


@pytest.mark.parametrize(
    ("distribution", "variable"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_nodes_get_the_shared_memory_profile(
    distribution: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    environment = started(DOOR_OPENING)["environment"]
    profile = Path(environment[variable]).read_text()
    assert "<segment_size>16777216</segment_size>" in profile
    assert "<maxMessageSize>" not in profile


@pytest.mark.parametrize(
    ("distribution", "variable", "heartbeat"),
    [
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE", "heartbeatPeriod"),
        ("jazzy", "FASTDDS_DEFAULT_PROFILES_FILE", "heartbeatPeriod"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE", "heartbeat_period"),
    ],
)
def test_nodes_that_other_machines_may_find_get_the_networks_profile(
    distribution: str, variable: str, heartbeat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    for wide in ("SUBNET", "SYSTEM_DEFAULT"):
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", wide)
        profile = Path(started(DOOR_OPENING)["environment"][variable]).read_text()
        assert "<segment_size>16777216</segment_size>" in profile
        assert f"<{heartbeat}>" in profile
    for narrow in ("LOCALHOST", "OFF"):
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", narrow)
        profile = Path(started(DOOR_OPENING)["environment"][variable]).read_text()
        assert "<maxMessageSize>" not in profile


def test_only_the_simulation_renders() -> None:
    assert started(DOOR_OPENING, robot="sim")["environment"]["MUJOCO_GL"] == "egl"
    assert "MUJOCO_GL" not in started(DOOR_OPENING, robot="real")["environment"]


def test_ros_users_decide_how_far_discovery_reaches() -> None:
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in started(DOOR_OPENING)["environment"]


@pytest.mark.parametrize(
    ("path", "given", "message"),
    [
        (DOOR_OPENING, {"robot": "toy"}, "robot: 'toy' is not in ['real', 'sim']"),
        (DOOR_OPENING, {"params_file": "/none.yaml"}, "/none.yaml: no such parameter file"),
        (DOOR_OPENING, {"nodes": "arm"}, "nodes: no node 'arm'; allowed: wrist_camera"),
        (REPLAY, {"policy": "p"}, "argument bag is required"),
        (REPLAY, {"bag": "b", "policy": "p", "rate": "fast"}, "rate: 'fast'; allowed: a number"),
    ],
)
def test_bad_argument_is_refused(path: Path, given: dict[str, str], message: str) -> None:
    result = evaluate(path, given)
    assert result.returncode != 0
    assert message in result.stderr.splitlines()[-1]


@pytest.mark.skipif(not REAL_LAUNCH, reason="launch and launch_ros are not installed (no ROS 2)")
@pytest.mark.parametrize("path", [DOOR_OPENING, REPLAY], ids=lambda path: path.name)
def test_real_launch_takes_the_file(path: Path) -> None:
    """The real packages load the file and evaluate it down to the processes they would start."""
    code = (
        "import sys\n"
        "from launch import LaunchContext\n"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource\n"
        "from launch_ros.actions import Node\n"
        "context = LaunchContext()\n"
        "source = PythonLaunchDescriptionSource(sys.argv[1])\n"
        "description = source.get_launch_description(context)\n"
        "context.launch_configurations.update(a.split(':=') for a in sys.argv[2:])\n"
        "def walk(entities):\n"
        "    for entity in entities:\n"
        "        if isinstance(entity, Node):\n"
        "            entity._perform_substitutions(context)\n"
        "            print(entity.node_name)\n"
        "        else:\n"
        "            walk(entity.visit(context) or [])\n"
        "walk(description.entities)\n"
    )
    given = ["bag:=/tmp/a.mcap", "policy:=/tmp/p"] if path == REPLAY else ["robot:=sim"]
    specs = replay("/tmp/a.mcap", "/tmp/p") if path == REPLAY else door_opening("sim")
    result = subprocess.run(
        [sys.executable, "-c", code, str(path), *given],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [spec.full_name for spec in specs]
