"""Cameras and drivers that publish best effort, reliably, or both: each is heard, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from ros_harness import Harness
from sensor_msgs.msg import BatteryState, CameraInfo, CompressedImage, JointState
from std_msgs.msg import Bool, String
from vinn.rollout.reader import summarize_recording
from vinn_ros.conversions import compress, to_stamp
from vinn_ros.drivers.stretch_topics import StretchTopics
from vinn_ros.node import qos, sensor_stream
from vinn_ros.node.lifecycle import ERROR, OK, VinnNode
from vinn_ros.node.sensor_stream import SensorStream
from vinn_ros.supervisor.preflight_probe import PreflightProbe
from vinn_ros.supervisor.recording import RolloutRecording

from vinn_msgs.msg import Prediction

pytestmark = pytest.mark.ros

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
OFFERED = {"reliable": qos.STREAM, "best effort": BEST_EFFORT, "sensor": qos_profile_sensor_data}
CAMERA = "wrist_camera/image_raw/compressed"
JOINTS = JointState(
    name=["joint_lift", "wrist_extension", "joint_wrist_yaw", "joint_wrist_pitch",
          "joint_wrist_roll", "joint_gripper_finger_left", "joint_gripper_finger_right"],
    position=[0.6, 0.1, 0.2, 0.0, 0.0, 0.1, 0.1],
)  # fmt: skip


class Listener(VinnNode):
    NAME = "listener"


@pytest.fixture
def listener(ros: Harness) -> Iterator[VinnNode]:
    yield ros.add(Listener([]))


class Driver:
    """Publishes until it is heard, as drivers do: again and again."""

    def __init__(self, ros: Harness, profile: QoSProfile) -> None:
        self.ros = ros
        self.profile = profile
        self._publishers: dict[str, Any] = {}

    def say(self, topic: str, message: Any) -> None:
        if topic not in self._publishers:
            node = self.ros.node
            self._publishers[topic] = node.create_publisher(type(message), topic, self.profile)
        self._publishers[topic].publish(message)

    def end(self) -> None:
        for publisher in self._publishers.values():
            self.ros.node.destroy_publisher(publisher)

    def until(self, heard: Callable[[], Any], *said: tuple[str, Any]) -> Any:
        def repeated() -> Any:
            for topic, message in said:
                self.say(topic, message)
            return heard()

        return self.ros.wait_for(repeated)


def frame(seed: int) -> CompressedImage:
    noise = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
    return compress(noise, to_stamp(10**9 + seed), "camera")


@pytest.mark.parametrize("offered", OFFERED)
@pytest.mark.parametrize("kind", ["node", "plain node"])
def test_either_kind_of_publisher_is_heard_once_and_in_order(
    ros: Harness, listener: VinnNode, offered: str, kind: str
) -> None:
    heard: list[int] = []
    take = lambda message: heard.append(message.header.stamp.nanosec)  # noqa: E731
    if kind == "node":
        listener.subscribe_sensor(CompressedImage, CAMERA, take, qos.STREAM)
    else:
        plain = ros.add(Node("plain", use_global_arguments=False))
        SensorStream(plain, CompressedImage, CAMERA, take, qos.STREAM)
    driver = Driver(ros, OFFERED[offered])
    driver.until(lambda: heard, (CAMERA, frame(0)))
    for number in range(1, 6):
        driver.say(CAMERA, frame(number))
        ros.wait_for(lambda n=number: n in heard)
    # The first frame may have been sent several times until it was heard.
    assert [n for n in heard if n] == [1, 2, 3, 4, 5] and sorted(heard) == heard
    assert listener._diagnosis()[0] == OK


def test_a_best_effort_publisher_beside_a_reliable_one_doubles_nothing(
    ros: Harness, listener: VinnNode
) -> None:
    heard: list[int] = []
    listener.subscribe_sensor(
        CompressedImage, CAMERA, lambda m: heard.append(m.header.stamp.nanosec), qos.RECORD
    )
    first, second = Driver(ros, qos.RECORD), Driver(ros, BEST_EFFORT)
    first.until(lambda: heard, (CAMERA, frame(0)))
    second.until(lambda: 1 in heard, (CAMERA, frame(1)))
    third = Driver(ros, qos_profile_sensor_data)
    third.until(lambda: 2 in heard, (CAMERA, frame(2)))
    for number in range(3, 12):
        (first, second, third)[number % 3].say(CAMERA, frame(number))
        ros.wait_for(lambda n=number: n in heard)
    assert [n for n in heard if n > 2] == list(range(3, 12))
    assert listener._diagnosis()[0] == OK


def asked_for(ros: Harness) -> list[ReliabilityPolicy]:
    """What the listener's subscriptions to the camera ask for."""
    found = ros.node.get_subscriptions_info_by_topic(f"/{CAMERA}")
    return [info.qos_profile.reliability for info in found]


def test_a_stream_is_reliable_again_when_the_last_best_effort_publisher_has_gone(
    ros: Harness, listener: VinnNode
) -> None:
    """A camera's driver is started anew with another quality of service, again and again."""
    heard: list[int] = []
    stream = listener.subscribe_sensor(
        CompressedImage, CAMERA, lambda m: heard.append(m.header.stamp.nanosec), qos.STREAM
    )
    ros.wait_for(lambda: asked_for(ros) == [ReliabilityPolicy.RELIABLE])
    number = 0
    for profile in (qos.STREAM, BEST_EFFORT, qos.STREAM, qos_profile_sensor_data, qos.STREAM):
        driver = Driver(ros, profile)
        number += 10
        driver.until(lambda n=number: n in heard, (CAMERA, frame(number)))
        reliable = profile.reliability == ReliabilityPolicy.RELIABLE
        ros.wait_for(lambda wanted=reliable: stream.is_reliable == wanted)
        for later in (number + 1, number + 2, number + 3):
            driver.say(CAMERA, frame(later))
            ros.wait_for(lambda n=later: n in heard)
        assert [n for n in heard if n > number] == [number + 1, number + 2, number + 3]
        driver.end()
        ros.wait_for(lambda: ros.node.count_publishers(CAMERA) == 0)
    # One subscription of either kind, however often it changed.
    assert sorted(asked_for(ros)) == [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT]
    assert listener._diagnosis()[0] == OK


@pytest.mark.parametrize("offered", OFFERED)
def test_best_effort_asked_for_hears_either_kind(
    ros: Harness, listener: VinnNode, offered: str
) -> None:
    heard: list[int] = []
    stream = listener.subscribe_sensor(
        CompressedImage,
        CAMERA,
        lambda m: heard.append(m.header.stamp.nanosec),
        qos.STREAM,
        reliability=sensor_stream.BEST_EFFORT,
    )
    Driver(ros, OFFERED[offered]).until(lambda: 7 in heard, (CAMERA, frame(7)))
    assert asked_for(ros) == [ReliabilityPolicy.BEST_EFFORT] and not stream.is_reliable


def test_reliable_asked_for_names_whoever_offers_less(ros: Harness, listener: VinnNode) -> None:
    heard: list[int] = []
    stream = listener.subscribe_sensor(
        CompressedImage,
        CAMERA,
        lambda m: heard.append(m.header.stamp.nanosec),
        qos.STREAM,
        reliability=sensor_stream.RELIABLE,
    )
    Driver(ros, qos.STREAM).until(lambda: 1 in heard, (CAMERA, frame(1)))
    assert asked_for(ros) == [ReliabilityPolicy.RELIABLE]
    assert listener._diagnosis()[0] == OK
    Driver(ros, BEST_EFFORT).until(lambda: listener._diagnosis()[0] == ERROR, (CAMERA, frame(2)))
    assert listener._diagnosis()[1].startswith(
        f"{CAMERA}: a publisher's QoS does not fit (reliability)"
    )
    assert 2 not in heard and stream.is_reliable


def test_what_is_acted_on_stays_reliable_and_says_so(ros: Harness, listener: VinnNode) -> None:
    listener.subscribe(Prediction, "policy/prediction", lambda _: None, qos.NEWEST)
    Driver(ros, BEST_EFFORT).say("policy/prediction", Prediction())
    ros.wait_for(lambda: listener._diagnosis()[0] == ERROR)
    assert listener._diagnosis()[1].startswith(
        "policy/prediction: a publisher's QoS does not fit (reliability)"
    )


@pytest.mark.parametrize("offered", OFFERED)
def test_a_driver_of_the_robot_may_be_best_effort(
    ros: Harness, listener: VinnNode, offered: str
) -> None:
    topics = StretchTopics(listener, service_timeout_s=1.0)
    odometry = Odometry()
    odometry.pose.pose.position.x = 0.25
    Driver(ros, OFFERED[offered]).until(
        lambda: topics._mode and topics._homed and topics._base[0] and topics._joints
        and topics._runstopped is not None,
        ("stretch/joint_states", JOINTS), ("is_homed", Bool(data=True)),
        ("is_runstopped", Bool()), ("mode", String(data="position")), ("odom", odometry),
    )  # fmt: skip
    state = topics.state()
    assert (state.homed, state.mode, state.base_x_m) == (True, "position", 0.25)


@pytest.mark.parametrize("offered", OFFERED)
def test_preflight_hears_camera_and_robot(ros: Harness, offered: str, tmp_path: Path) -> None:
    plain = ros.add(Node("doctor", use_global_arguments=False))
    probe = PreflightProbe(plain, tmp_path)
    probe.listen_to_streams()
    seen = Driver(ros, OFFERED[offered]).until(
        lambda: (o := probe.observe()).camera_age_s is not None
        and o.joint_states_age_s is not None and o.homed and o.battery_v and o,
        (CAMERA, frame(0)), ("stretch/joint_states", JOINTS), ("is_homed", Bool(data=True)),
        ("battery", BatteryState(voltage=12.5)),
    )  # fmt: skip
    assert seen.battery_v == 12.5


@pytest.mark.parametrize("offered", OFFERED)
def test_a_rollout_records_sensors_of_either_kind(
    ros: Harness, listener: VinnNode, offered: str, tmp_path: Path
) -> None:
    heard: list[str] = []
    recording = RolloutRecording(
        listener,
        {},
        {t: lambda _, t=t: heard.append(t) for t in (CAMERA, "stretch/joint_states")},
    )
    path = recording.open(tmp_path / "r.mcap", {}, 0)
    assert path is not None
    driver = Driver(ros, OFFERED[offered])
    said = (
        (CAMERA, frame(1)), ("wrist_camera/camera_info", CameraInfo(width=3)),
        ("overview_camera/image_raw/compressed", frame(2)), ("stretch/joint_states", JOINTS),
    )  # fmt: skip
    driver.until(lambda: len(set(heard)) == 2, *said)
    names = {f"/{topic}" for topic, _ in said}
    writing = recording._writing
    assert writing is not None
    driver.until(lambda: names <= set(writing.recorder._channels), *said)
    recording.close({"reason": "SUCCESS"})
    assert names <= set(summarize_recording(path).message_counts)


def test_a_foreign_camera_is_recorded_under_the_graphs_own_name(
    ros: Harness, tmp_path: Path
) -> None:
    """Pages and replay look for the wrist camera, whoever's topic takes its place."""
    theirs = "/gripper_camera/image_raw/compressed"
    node = ros.add(Listener(["--ros-args", "-r", f"{CAMERA}:={theirs}", "-r", "__ns:=/left"]))
    recording = RolloutRecording(node, {}, {})
    path = recording.open(tmp_path / "r.mcap", {}, 0)
    assert path is not None and recording._writing is not None
    channels = recording._writing.recorder._channels
    Driver(ros, BEST_EFFORT).until(lambda: channels, (theirs, frame(1)))
    recording.close({"reason": "SUCCESS"})
    recorded = summarize_recording(path).message_counts
    # Diagnostics of a node that is about to end may be in it, too.
    assert f"/left/{CAMERA}" in recorded and theirs not in recorded


def test_whoever_sets_the_machines_clock_does_not_set_the_recordings(
    ros: Harness, listener: VinnNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = RolloutRecording(listener, {}, {})
    path = recording.open(tmp_path / "r.mcap", {}, 0)
    assert path is not None and recording._writing is not None
    counts = recording._writing.recorder._writer._Writer__statistics.channel_message_counts
    driver = Driver(ros, qos.RECORD)
    driver.until(lambda: sum(counts.values()) >= 2, (CAMERA, frame(1)))
    clock = listener.get_clock()
    for by_ns in (-3600 * 10**9, 7200 * 10**9):
        now = clock.now() + Duration(nanoseconds=by_ns)
        monkeypatch.setattr(listener, "get_clock", lambda now=now: SimpleNamespace(now=lambda: now))
        before = sum(counts.values())
        driver.until(lambda n=before: sum(counts.values()) > n + 2, (CAMERA, frame(2)))
    recording.close({"reason": "SUCCESS"})
    summary = summarize_recording(path)
    assert summary.duration_s < 60 and not [j for j in summary.jumps if not j.topic]
