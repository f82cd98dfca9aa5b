"""A recording played to the running graph: pause, single step, rate, loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bags import KINDS, SECOND, START, Said, image, write_bag, write_mcap
from ros_harness import Harness
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool, Trigger
from typer.testing import CliRunner
from vinn.rollout.messages import image_fields
from vinn.rollout.recorder import RolloutRecorder
from vinn_ros.node import qos
from vinn_ros.playback.node import BagPlayerNode

from vinn_ros import operator

pytestmark = pytest.mark.ros

TOPIC = "wrist_camera/image_raw/compressed"
COUNT = 5
APART_NS = 25 * 10**9
"""A longer silence counts as a jump of the clock."""


class Player:
    """Frames 0 .. COUNT - 1, `apart_ns` apart, and which of them were heard."""

    def __init__(self, ros: Harness, directory: Path, apart_ns: int, *settings: str) -> None:
        self.ros = ros
        recorder = RolloutRecorder(directory / "run.mcap")
        for i in range(COUNT):
            stamp_ns = 10**9 + i * apart_ns
            fields = image_fields(bytes([i]), stamp_ns, "camera")
            recorder.write_message(f"/{TOPIC}", "sensor_msgs/msg/CompressedImage", fields, stamp_ns)
        recorder.close({})
        self.messages = ros.listen(CompressedImage, TOPIC, qos.RECORD)
        arguments = ["--ros-args", "-p", f"bag:={directory / 'run.mcap'}"]
        for setting in ("paused:=true", *settings):
            arguments += ["-p", setting]
        self.node = ros.add(BagPlayerNode(arguments))
        ros.wait_for(lambda: ros.node.count_publishers(TOPIC) == 1)
        # It waits before the first message: nobody misses one.
        ros.wait_for(lambda: self.node._pause.waiting)

    def heard(self) -> list[int]:
        return [message.data[0] for message in list(self.messages)]

    def step(self) -> None:
        self.ros.wait_for(lambda: self.node._pause.waiting)
        assert self.ros.call(Trigger, "bag_player/step").success

    def pause(self, hold: bool) -> None:
        assert self.ros.call(SetBool, "bag_player/pause", SetBool.Request(data=hold)).success


def test_paused_it_plays_one_message_for_each_step(ros: Harness, tmp_path: Path) -> None:
    player = Player(ros, tmp_path, 0)
    assert player.heard() == []
    for count in (1, 2):
        player.step()
        ros.wait_for(lambda c=count: len(player.messages) == c)
        ros.wait_for(lambda: player.node._pause.waiting)
        assert player.heard() == list(range(count))
    player.pause(False)
    ros.wait_for(lambda: player.node._ended)
    ros.wait_for(lambda: len(player.messages) == COUNT)
    assert player.heard() == list(range(COUNT))
    assert not ros.call(Trigger, "bag_player/step").success  # nothing is held any more


def test_in_a_loop_it_begins_again(ros: Harness, tmp_path: Path) -> None:
    player = Player(ros, tmp_path, 0, "loop:=true")
    for _ in range(COUNT + 2):
        player.step()
    ros.wait_for(lambda: len(player.messages) == COUNT + 2)
    assert player.heard() == [*range(COUNT), 0, 1]


def test_the_rate_is_that_of_the_recording_times_the_one_asked_for(
    ros: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = Player(ros, tmp_path, APART_NS, "rate:=0.05")
    waited_s: list[float] = []
    monkeypatch.setattr(
        player.node._stopping, "wait", lambda seconds: waited_s.append(seconds) or False
    )
    player.pause(False)
    ros.wait_for(lambda: player.node._ended)
    # To the n-th message; what it took to get there counts.
    assert waited_s == pytest.approx([500.0 * i for i in range(COUNT)], abs=30.0)


def test_the_operators_command_holds_it_and_steps(ros: Harness, tmp_path: Path) -> None:
    player = Player(ros, tmp_path, 0)
    asked: list[tuple[str, Any]] = []

    def answer(node: Any, service: Any, name: str, request: Any, timeout_s: float) -> Any:
        asked.append((name, getattr(request, "data", None)))
        return ros.call(service, name, request)

    with pytest.MonkeyPatch.context() as patch:
        # The command's own context would be a second one in this process.
        patch.setattr(operator, "_operator", lambda namespace: _Nothing())
        patch.setattr(operator, "_call", answer)
        for ask in ("step", "pause", "go"):
            done = CliRunner().invoke(operator.app, ["playback", ask])
            assert done.exit_code == 0, done.output
    assert asked == [
        ("bag_player/step", None),
        ("bag_player/pause", True),
        ("bag_player/pause", False),
    ]
    ros.wait_for(lambda: len(player.messages) == COUNT)


RECORDED_IN = {"none": "", "one": "/right", "two deep": "/lab/right"}


@pytest.mark.parametrize("own", ["", "/left", "/lab/left"])
@pytest.mark.parametrize("recorded", RECORDED_IN)
def test_it_is_published_in_the_players_own_namespace(
    ros: Harness, tmp_path: Path, recorded: str, own: str
) -> None:
    said = [image(i, START + i * SECOND // 10, topic=f"{RECORDED_IN[recorded]}/{TOPIC}")
            for i in range(COUNT)]  # fmt: skip
    bag = KINDS["directory" if own else "sqlite3 file"](tmp_path / "bag", said)
    heard = ros.listen(CompressedImage, f"{own}/{TOPIC}", qos.RECORD)
    arguments = ["--ros-args", "-p", f"bag:={bag}", "-p", "paused:=true"]
    node = ros.add(BagPlayerNode([*arguments, "-r", f"__ns:={own}"] if own else arguments))
    ros.wait_for(lambda: ros.node.count_publishers(f"{own}/{TOPIC}") == 1 and node._pause.waiting)
    assert ros.call(SetBool, f"{own}/bag_player/pause", SetBool.Request(data=False)).success
    ros.wait_for(lambda: len(heard) == COUNT)
    assert [bytes(m.data) for m in heard] == [bytes(s.fields["data"]) for s in said]


def test_two_recorded_namespaces_need_a_word(ros: Harness, tmp_path: Path) -> None:
    said = [image(i, START + i, topic=f"/{robot}/{TOPIC}")
            for i, robot in enumerate(["a", "b"] * COUNT)]  # fmt: skip
    bag = write_bag(tmp_path / "bag", said)
    player = BagPlayerNode(["--ros-args", "-p", f"bag:={bag}"])
    assert not player.bring_up()
    assert f"/a/{TOPIC}, /b/{TOPIC}" in str(player.refusal)
    player.destroy_node()
    heard = ros.listen(CompressedImage, TOPIC, qos.RECORD)
    arguments = ["--ros-args", "-p", f"bag:={bag}", "-p", "recorded_namespace:=/b"]
    node = ros.add(BagPlayerNode([*arguments, "-p", "paused:=true"]))
    ros.wait_for(lambda: ros.node.count_publishers(TOPIC) == 1 and node._pause.waiting)
    node._pause.enable(False)
    ros.wait_for(lambda: len(heard) == COUNT)
    assert [bytes(m.data) for m in heard] == [bytes(s.fields["data"]) for s in said[1::2]]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (Said(f"/{TOPIC}", "std_msgs/msg/String", {"data": "x"}, START),
         "is of type std_msgs/msg/String; allowed: sensor_msgs/msg/CompressedImage"),
        (Said(f"/my_{TOPIC}", "std_msgs/msg/String", {"data": "x"}, START), "none of wrist_camera"),
    ],
)  # fmt: skip
def test_a_topic_that_cannot_be_played_is_refused_first(
    ros: Harness, tmp_path: Path, said: Said, named: str
) -> None:
    bag = write_bag(tmp_path / "bag", [said])
    player = BagPlayerNode(["--ros-args", "-p", f"bag:={bag}"])
    assert not player.bring_up() and named in str(player.refusal)
    player.destroy_node()


@pytest.mark.parametrize("by_s", [-3600, 7200, -START // SECOND + 5])
def test_a_clock_that_was_set_is_no_pause(ros: Harness, tmp_path: Path, by_s: int) -> None:
    at = [START + i * SECOND // 50 + (by_s * SECOND if i > 3 else 0) for i in range(8)]
    bag = write_mcap(tmp_path / "x.mcap", [image(i, t) for i, t in enumerate(at)])
    node = ros.add(BagPlayerNode(["--ros-args", "-p", f"bag:={bag}"]))
    ros.wait_for(lambda: node._ended)
    assert node._played == 8 and not node._problem


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
