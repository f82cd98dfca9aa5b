"""The parts of the nodes that need no ROS graph."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from vinn.errors import CameraError, ConfigError, RobotError
from vinn.ingest.frame_source import open_source
from vinn.robot.types import JointCommand, ReasonCode
from vinn.rollout.config import load_rollout_config
from vinn.rollout.messages import serialize
from vinn.rollout.reader import summarize_recording
from vinn.rollout.recorder import RolloutRecorder
from vinn.sim.difficulty import DIFFICULTIES
from vinn_ros.bringup import graph
from vinn_ros.drivers.pose_command import DEFAULT_LAYOUT, GRIPPER_UNITS, PoseLayout
from vinn_ros.executor import lease
from vinn_ros.executor.lease import Lease
from vinn_ros.node.newest import Newest
from vinn_ros.paths import config_directory
from vinn_ros.playback.restamping import restamped
from vinn_ros.policy.frame_gate import FrameGate, GateLimits
from vinn_ros.supervisor.recording import Writing

LIMITS = GateLimits(
    max_age_s=0.3,
    max_identical=5,
    darkest=6.0,
    brightest=249.0,
    min_contrast=4.0,
    min_sharpness=0.0,
)
HEAD = {"head_pan": 0.1, "head_tilt": -0.2}
finite = st.floats(-5.0, 5.0)


def noise(mean: float, deviation: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(mean, deviation, (64, 64, 3)), 0, 255).astype(np.uint8)


# joint_pose_cmd


@given(values=st.lists(finite, min_size=8, max_size=8), unit=st.sampled_from(GRIPPER_UNITS))
def test_a_pose_command_survives_the_vector(values: list[float], unit: str) -> None:
    layout = PoseLayout(DEFAULT_LAYOUT, unit)
    command = JointCommand(*values)
    back = layout.decode(layout.encode(command, HEAD))
    for name in JointCommand.__dataclass_fields__:
        assert getattr(back, name) == pytest.approx(getattr(command, name), abs=1e-9)


def test_the_default_vector_is_stretch_drivers() -> None:
    command = JointCommand(
        lift_m=1.0,
        arm_m=2.0,
        wrist_yaw_rad=3.0,
        wrist_pitch_rad=4.0,
        wrist_roll_rad=5.0,
        gripper_aperture_m=0.09,
        base_translate_m=7.0,
        base_rotate_rad=8.0,
    )
    vector = PoseLayout(DEFAULT_LAYOUT, "percent").encode(command, HEAD)
    assert vector == pytest.approx([2.0, 1.0, 3.0, 4.0, 5.0, 0.1, -0.2, 70.0, 7.0, 8.0])


def test_no_entry_is_ever_left_to_zero() -> None:
    with pytest.raises(RobotError, match="head_pan"):
        PoseLayout(DEFAULT_LAYOUT, "percent").encode(JointCommand(1, 1, 1, 1, 1, 1), {})
    with pytest.raises(ConfigError, match="missing: lift"):
        PoseLayout([entry for entry in DEFAULT_LAYOUT if entry != "lift"], "percent")
    with pytest.raises(ConfigError, match="elbow"):
        PoseLayout([*DEFAULT_LAYOUT, "elbow"], "percent")
    with pytest.raises(RobotError, match="9 values"):
        PoseLayout(DEFAULT_LAYOUT, "percent").decode([0.0] * 9)


# Lease


def test_the_lease_runs_out_unless_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(lease.time, "monotonic", lambda: now_s[0])
    held = Lease(0.5)
    assert held.refusal("a") == (ReasonCode.SUPERVISOR_LOST, "supervisor/status: older than 0.5 s")
    assert not held.alive
    held.renew("a", running=True)
    assert held.alive
    assert held.refusal("a") is None
    assert held.session == "a"
    refusal = held.refusal("b")
    assert refusal is not None
    assert refusal[0] is ReasonCode.WRONG_SESSION
    now_s[0] += 0.4
    held.renew("a", running=True)
    now_s[0] += 0.4
    assert held.refusal("a") is None
    now_s[0] += 0.2
    refusal = held.refusal("a")
    assert refusal is not None
    assert refusal[0] is ReasonCode.SUPERVISOR_LOST
    assert held.session == "" and not held.alive
    held.renew("", running=False)
    assert held.alive


def test_a_session_that_does_not_run_has_no_lease() -> None:
    held = Lease(60.0)
    held.renew("a", running=False)
    refusal = held.refusal("a")
    assert refusal is not None
    assert refusal[0] is ReasonCode.WRONG_SESSION
    refusal = held.refusal("")
    assert refusal is not None
    assert refusal[0] is ReasonCode.WRONG_SESSION


# Frames


def test_old_frames_are_refused_and_counted() -> None:
    gate = FrameGate(LIMITS)
    assert gate.check_age(0.29) is None
    for age_s in (0.31, float("nan"), float("inf")):
        assert "stale" in (gate.check_age(age_s) or "")
    assert gate.refused["stale"] == 3


def test_the_fifth_identical_frame_is_stale_until_another_comes() -> None:
    gate = FrameGate(LIMITS)
    assert [gate.check_bytes(b"same") is None for _ in range(7)] == [True] * 4 + [False] * 3
    assert gate.check_bytes(b"other") is None
    assert gate.check_bytes(b"same") is None


@pytest.mark.parametrize(
    ("picture", "kind"),
    [(noise(1, 1), "black"), (noise(254, 1), "white"), (noise(120, 1), "blank")],
)
def test_pictures_that_show_nothing_are_refused(picture: np.ndarray, kind: str) -> None:
    gate = FrameGate(LIMITS)
    assert (gate.check_pixels(picture) or "").startswith(f"{kind} frame")
    assert gate.refused[kind] == 1
    assert gate.check_pixels(noise(120, 40)) is None
    assert gate.last_refusal == ""


def test_blur_is_refused_only_where_asked_for() -> None:
    sharp = noise(120, 40)
    blurred = cv2.GaussianBlur(noise(120, 120), (9, 9), 2)
    assert FrameGate(LIMITS).check_pixels(blurred) is None
    strict = GateLimits(**{**LIMITS.__dict__, "min_sharpness": 50.0})
    assert "blurred" in (FrameGate(strict).check_pixels(blurred) or "")
    assert FrameGate(strict).check_pixels(sharp) is None


def test_newest_drops_what_nobody_took() -> None:
    slot: Newest[int] = Newest()
    assert slot.take(0.01) is None
    slot.put(1)
    slot.put(2)
    assert slot.take() == 2
    assert slot.take(0.01) is None
    slot.put(3)
    slot.close()
    assert slot.take() is None


# Frame sources


def write_frames(folder: Path, count: int) -> list[np.ndarray]:
    folder.mkdir()
    pictures = [np.full((24, 32, 3), 40 * i, np.uint8) for i in range(count)]
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i:03d}.png"), picture)
    return pictures


def test_a_folder_gives_each_image_once_in_order(tmp_path: Path) -> None:
    pictures = write_frames(tmp_path / "frames", 3)
    source = open_source(str(tmp_path / "frames"), 0, 0, 10.0)
    frames = [source.read() for _ in range(4)]
    assert frames[3] is None
    for frame, picture in zip(frames, pictures, strict=False):
        assert frame is not None
        assert np.array_equal(frame[0], picture)
    stamps = [frame[1] for frame in frames if frame]
    assert stamps == sorted(stamps)


def test_a_video_gives_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (32, 24))
    for i in range(4):
        writer.write(np.full((24, 32, 3), 60 * i, np.uint8))
    writer.release()
    source = open_source(str(path), 0, 0, 10.0)
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame[0])
    source.close()
    assert [round(float(frame.mean()) / 60) for frame in frames] == [0, 1, 2, 3]


def test_sources_that_do_not_exist_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    for source, named in (
        ("", "empty"),
        ("/dev/v4l/by-id/none", "/dev/v4l/by-id/none"),
        (str(tmp_path / "missing"), "missing"),
        (str(tmp_path / "empty"), "no images"),
        (str(tmp_path / "text.mp4"), "text.mp4"),
    ):
        with pytest.raises(CameraError, match=named):
            open_source(source, 0, 0, 10.0)


def test_a_truncated_image_is_a_camera_error(tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", 1)
    path = tmp_path / "frames" / "000.png"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CameraError, match=r"000\.png"):
        open_source(str(tmp_path / "frames"), 0, 0, 10.0).read()


# Recordings


def test_restamping_changes_the_stamp_alone() -> None:
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import CompressedImage

    message = CompressedImage(format="jpeg", data=b"abc")
    message.header.frame_id = "camera"
    stamped = deserialize_message(
        restamped(serialize_message(message), 12_000_000_345), CompressedImage
    )
    assert (stamped.header.stamp.sec, stamped.header.stamp.nanosec) == (12, 345)
    assert (stamped.header.frame_id, stamped.data.tobytes()) == ("camera", b"abc")


# Graph and configuration


def test_both_robots_share_everything_but_the_source() -> None:
    real = [spec.name for spec in graph.door_opening("real")]
    sim = [spec.name for spec in graph.door_opening("sim")]
    assert real[0] == "wrist_camera"
    assert sim[0] == "stretch_sim"
    assert real[1:] == sim[1:]


def test_settings_and_namespaces_reach_the_arguments() -> None:
    specs = graph.with_settings(
        graph.door_opening("sim", "p", namespace="left"),
        ["stretch_sim.cabinet=white", "stretch_sim.real_time_factor=1.0"],
    )
    arguments = specs[0].ros_arguments()
    assert "cabinet:=white" in arguments
    assert "real_time_factor:=1.0" in arguments
    assert "__ns:=/left" in arguments
    assert specs[0].full_name == "/left/stretch_sim"
    policy = next(spec for spec in specs if spec.name == "vinn_policy")
    assert policy.parameters["policy"] == str(Path("p").resolve())


@pytest.mark.parametrize(
    ("setting", "named"),
    [("cabinet=white", "NODE.PARAMETER"), ("camera.x=1", "camera"), ("stretch_sim.x", "malformed")],
)
def test_bad_settings_are_refused(setting: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        graph.with_settings(graph.door_opening("sim"), [setting])


def test_unknown_robots_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fetch"):
        graph.door_opening("fetch")
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        graph.door_opening("sim", parameter_files=[tmp_path / "none.yaml"])


def test_simulated_starts_are_as_wide_as_the_demonstrations() -> None:
    starts = load_rollout_config(config_directory() / "robot" / "rollout_sim.yaml").start_poses
    easy = DIFFICULTIES["easy"]
    assert starts.right_m == (-easy.start_right_m, easy.start_right_m)
    assert starts.forward_m == (-easy.start_forward_m, easy.start_forward_m)
    assert starts.up_m == (-easy.start_up_m, easy.start_up_m)


def test_parameter_files_name_existing_nodes_only() -> None:
    known = {
        spec.name
        for robot in graph.ROBOTS
        for spec in graph.door_opening(robot, console=True, views=True)
    }
    for name in ("door_opening.yaml", "door_opening_sim.yaml"):
        content = yaml.safe_load((config_directory() / name).read_text())
        assert {key.removeprefix("/**/") for key in content} <= known


def test_a_disk_that_stalls_delays_nobody_and_the_recording_says_what_it_lacks(
    tmp_path: Path,
) -> None:
    stalled, going_on = threading.Event(), threading.Event()

    class StallingRecorder(RolloutRecorder):
        def write(self, topic: str, type_name: str, cdr: bytes, stamp_ns: int) -> None:
            stalled.set()
            assert going_on.wait(20.0)
            super().write(topic, type_name, cdr, stamp_ns)

    cdr = serialize("std_msgs/msg/Bool", {"data": True})
    writing = Writing(StallingRecorder(tmp_path / "r.mcap"), most_waiting=3)
    writing.put("homed", "std_msgs/msg/Bool", cdr, 1)
    assert stalled.wait(20.0)
    for stamp_ns in range(2, 10):  # three may wait for the one that is being written
        writing.put("homed", "std_msgs/msg/Bool", cdr, stamp_ns)
    going_on.set()
    summary = summarize_recording(writing.close({"reason": "SUCCESS"}))
    assert summary.message_counts == {"homed": 4}
    assert summary.messages_lost == 5
    assert summary.ended_by == "SUCCESS, 5 messages lost"
