"""The policy node, with an encoder small enough for tests, and the bag player before it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import ReliabilityPolicy
from ros_harness import Harness
from sensor_msgs.msg import CompressedImage
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.demos.frames import decode_jpeg
from vinn.errors import ConfigError
from vinn.policies.artefact import load_policy
from vinn.policies.build import build_policy
from vinn.policies.episode import Episode
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.types import unknown_step
from vinn.robot.types import ReasonCode
from vinn.rollout.messages import image_fields
from vinn.rollout.recorder import RolloutRecorder
from vinn_ros.conversions import compress, from_prediction_msg, to_nanoseconds, to_stamp
from vinn_ros.node import qos
from vinn_ros.playback.node import BagPlayerNode
from vinn_ros.policy.loaded_policy import LoadedPolicy
from vinn_ros.policy.node import VinnPolicyNode

from vinn_msgs.msg import ExecutorStatus, PolicyStatus, Prediction, RolloutStatus
from vinn_msgs.srv import LoadPolicy

pytestmark = pytest.mark.ros


class Bench:
    def __init__(self, ros: Harness, directory: Path) -> None:
        self.ros = ros
        dataset = write_square_demos(directory / "demos")
        encoder = write_tiny_encoder(directory / "encoder")
        self.policy_path = build_policy(dataset, encoder, directory / "squares", k=3)
        self.control_path = OPEN_LOOP.build(BuildRequest(dataset, directory / "open_loop"))
        self.node = ros.add(
            VinnPolicyNode(
                [
                    "--ros-args",
                    *("-p", f"policy:={self.policy_path}"),
                    *("-p", "max_image_age_s:=5.0"),
                    *("-p", "max_identical_frames:=3"),
                ]
            )
        )
        self.predictions = ros.listen(Prediction, "policy/prediction", qos.RECORD)
        self._images = ros.node.create_publisher(
            CompressedImage, "wrist_camera/image_raw/compressed", qos.RECORD
        )
        self._status = ros.node.create_publisher(RolloutStatus, "supervisor/status", qos.STREAM)
        self._executor = ros.node.create_publisher(ExecutorStatus, "executor/status", qos.STREAM)
        ros.wait_for(lambda: self._images.get_subscription_count() == 1)
        ros.wait_for(lambda: ros.node.count_publishers("policy/prediction") == 1)
        self._count = 0

    def frame(self, seed: int | None = None) -> CompressedImage:
        """A fresh frame; the same seed gives the same bytes."""
        self._count += 1
        rng = np.random.default_rng(self._count if seed is None else [seed])
        image = square_image(*rng.uniform(0, 1, 2))
        noise = rng.integers(0, 8, image.shape, dtype=np.uint8)
        return compress(image + noise, to_stamp(time.time_ns()), "camera")

    def send(self, message: CompressedImage) -> None:
        self._images.publish(message)

    def predict(self, message: CompressedImage | None = None) -> Prediction:
        """Publish a frame and wait for what is made of it."""
        message = message or self.frame()
        self.send(message)
        return self.ros.wait_for(
            lambda: next(
                (p for p in self.predictions if p.header.stamp == message.header.stamp), None
            )
        )

    def refused(self, kind: str) -> int:
        return self.node._gate.refused[kind]

    def say_running(self, session: str) -> None:
        self._status.publish(RolloutStatus(state=RolloutStatus.RUNNING, session=session))
        self.ros.wait_for(lambda: self.episode._said_session == session)

    def say_step(self, status: ExecutorStatus) -> None:
        self._executor.publish(status)
        self.ros.wait_for(lambda: self.episode._said_step == status.taken_step)

    @property
    def episode(self) -> Episode:
        policy = self.node._policy
        assert policy is not None
        return policy.episode


@pytest.fixture
def bench(ros: Harness, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(ros, tmp_path)


def test_a_prediction_is_what_the_library_says(bench: Bench) -> None:
    frame = bench.frame()
    message = bench.predict(frame)
    image = decode_jpeg(frame.data.tobytes(), "frame")
    expected = load_policy(bench.policy_path).predict(image)
    got = from_prediction_msg(message)
    assert np.allclose(got.camera_delta, expected.camera_delta, atol=1e-9)
    assert np.isclose(got.gripper_value, expected.gripper_value)
    assert [n.index for n in got.neighbors] == [n.index for n in expected.neighbors]
    assert message.header.frame_id == "camera"
    assert message.policy.startswith("squares@")
    assert message.image_age_s > 0
    assert message.encode_latency_s > 0


def test_predictions_are_counted(bench: Bench) -> None:
    assert [bench.predict().sequence for _ in range(3)] == [1, 2, 3]


def test_frames_that_are_none_are_refused_before_the_encoder(bench: Bench) -> None:
    whole = bench.frame()
    old = bench.frame()
    old.header.stamp = to_stamp(time.time_ns() - 60 * 10**9)
    black = compress(np.zeros((48, 64, 3), np.uint8), to_stamp(time.time_ns()), "")
    cut = CompressedImage(header=whole.header, format="jpeg", data=whole.data[:200])
    for message, kind in ((old, "stale"), (black, "black"), (cut, "malformed")):
        before = bench.refused(kind)
        bench.send(message)
        bench.ros.wait_for(lambda kind=kind, before=before: bench.refused(kind) > before)
    assert bench.predictions == []
    # It goes on as soon as a good frame comes.
    assert bench.predict().sequence == 1


def test_repeated_bytes_count_as_stale_even_under_new_stamps(bench: Bench) -> None:
    for _ in range(2):
        bench.predict(bench.frame(seed=1))
    bench.send(bench.frame(seed=1))
    bench.ros.wait_for(lambda: bench.refused("identical") == 1)
    assert len(bench.predictions) == 2
    assert bench.predict(bench.frame(seed=2)).sequence == 3


def test_a_camera_that_begins_anew_repeats_nothing_and_may_freeze_again(bench: Bench) -> None:
    """Its driver was started again and shows what it showed before, byte for byte."""
    for begun in range(1, 4):
        for _ in range(2):
            bench.predict(bench.frame(seed=1))
        bench.send(bench.frame(seed=1))
        bench.ros.wait_for(lambda n=begun: bench.refused("identical") == n)
        # A pause is none if it is shorter than what ends a rollout.
        bench.node._last_frame_s -= 2.0
        bench.send(bench.frame(seed=1))
        bench.ros.wait_for(lambda n=begun: bench.refused("identical") == n + 1)
        bench.node._gate.refused["identical"] = begun
        bench.node._last_frame_s -= 10.0
    assert len(bench.predictions) == 6


def test_the_mosaic_is_drawn_for_those_who_look(bench: Bench) -> None:
    mosaics = bench.ros.listen(CompressedImage, "policy/neighbors/compressed", qos.NEWEST)
    bench.ros.wait_for(lambda: bench.node._mosaics.get_subscription_count() == 1)
    prediction = bench.predict()
    mosaic = bench.ros.wait_for(lambda: mosaics and mosaics[-1])
    assert mosaic.header.stamp == prediction.header.stamp
    height, width, _ = decode_jpeg(mosaic.data.tobytes(), "mosaic").shape
    assert height > 200
    assert width > height


def test_another_policy_is_loaded_or_the_old_one_stays(bench: Bench, tmp_path: Path) -> None:
    def load(path: Path) -> LoadPolicy.Response:
        return bench.ros.call(LoadPolicy, "policy/load", LoadPolicy.Request(path=str(path)))

    refused = load(tmp_path / "none")
    assert not refused.success
    assert "no such policy artefact" in refused.message
    assert refused.policy.startswith("squares@")
    assert bench.predict().policy == refused.policy
    accepted = load(bench.control_path)
    assert accepted.success
    assert bench.predict().policy == accepted.policy
    assert accepted.policy != refused.policy


@pytest.mark.parametrize("name", ["a" * 300, "x/" + "b" * 5000, "", "none/x"])
def test_a_path_that_no_disk_knows_keeps_the_old_policy(bench: Bench, name: str) -> None:
    before = bench.predict().policy
    answer = bench.ros.call(LoadPolicy, "policy/load", LoadPolicy.Request(path=f"/tmp/{name}"))
    assert (answer.success, answer.policy) == (False, before)
    assert answer.message and "\n" not in answer.message
    assert bench.predict().policy == before


def test_whatever_goes_wrong_in_a_load_keeps_the_old_policy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.predict().policy
    for problem in (MemoryError("no room"), RuntimeError("a library's own"), KeyError("k")):

        def load(directory: Path, k: int, problem: Exception = problem) -> LoadedPolicy:
            raise problem

        monkeypatch.setattr(bench.node, "_load_policy", load)
        answer = bench.ros.call(LoadPolicy, "policy/load", LoadPolicy.Request(path="/tmp"))
        assert (answer.success, answer.policy) == (False, before)
        assert answer.message == str(problem)
    assert bench.predict().policy == before


def test_a_frame_that_the_policy_stumbles_over_costs_that_frame_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = bench.ros.listen(PolicyStatus, "policy/status")
    bench.ros.wait_for(lambda: bench.node.count_subscribers("policy/status") == 1)
    bench.predict()
    policy = bench.node._policy
    assert policy is not None
    with monkeypatch.context() as patch:
        patch.setattr(policy, "predict", lambda *_: 1 / 0)
        bench.send(bench.frame())
        bench.ros.wait_for(lambda: statuses and statuses[-1].reason == "POLICY_LOST")
    assert bench.predict().sequence == 2


def test_a_frame_of_another_shape_in_a_rollout_is_not_acted_on(bench: Bench) -> None:
    bench.predict()
    bench.say_running("a")
    sequence = bench.predict().sequence
    other = np.random.default_rng(0).integers(0, 255, (24, 100, 3), dtype=np.uint8)
    bench.send(compress(other, to_stamp(time.time_ns()), "camera"))
    bench.ros.wait_for(lambda: bench.refused("reshaped") == 1)
    assert bench.node._gate.last_reason is ReasonCode.INVALID_IMAGE
    assert bench.predict().sequence == sequence + 1


def taken(session: str, step: int, prediction: Prediction) -> ExecutorStatus:
    """An executor that has done `step` on a prediction, all steps before it too."""
    return ExecutorStatus(
        session=session,
        taken_step=step,
        steps_taken=step,
        prediction_sequence=prediction.sequence,
    )


def test_open_loop_goes_one_step_further_per_step_of_the_rollout(bench: Bench) -> None:
    request = LoadPolicy.Request(path=str(bench.control_path))
    assert bench.ros.call(LoadPolicy, "policy/load", request).success
    reference = load_policy(bench.control_path)
    image = square_image(0.5, 0.5)
    expected = []
    for _ in range(3):
        expected.append(reference.predict(image))
        reference.advance(expected[-1], unknown_step())

    def says(step: int, session: str) -> Prediction:
        """The same however often it looks."""
        for _ in range(3):
            message = bench.predict()
            delta = from_prediction_msg(message).camera_delta
            assert np.allclose(delta, expected[step].camera_delta)
            assert (message.session, message.after_step) == (session, step)
        return message

    says(0, "")
    for session in ("a", "b"):
        bench.say_running(session)
        for step in range(1, 3):
            bench.say_step(taken(session, step, says(step - 1, session)))
        says(2, session)


def test_a_policy_loaded_during_a_rollout_begins_anew(bench: Bench) -> None:
    bench.say_running("a")
    bench.say_step(taken("a", 4, bench.predict()))
    assert bench.predict().after_step == 4
    request = LoadPolicy.Request(path=str(bench.control_path))
    assert bench.ros.call(LoadPolicy, "policy/load", request).success
    assert bench.predict().session == ""
    # Statuses are repeated: by them it learns where the rollout is.
    bench.say_running("a")
    bench.say_step(taken("a", 4, Prediction(sequence=1000)))
    message = bench.predict()
    assert (message.session, message.after_step) == ("a", 4)
    assert "begins anew" in bench.node.diagnose()[1]
    first = load_policy(bench.control_path).predict(square_image(0.5, 0.5))
    assert np.allclose(from_prediction_msg(message).camera_delta, first.camera_delta)


def test_a_recording_played_to_the_policy_is_predicted_from(bench: Bench, tmp_path: Path) -> None:
    topic, type_name = "/wrist_camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage"
    recorder = RolloutRecorder(tmp_path / "run.mcap")
    for i in range(6):
        stamp_ns = 1_000_000_000 + i * 100_000_000
        jpeg = bench.frame().data.tobytes()
        recorder.write_message(topic, type_name, image_fields(jpeg, stamp_ns, "camera"), stamp_ns)
    recorder.close({})
    settings = (f"bag:={tmp_path / 'run.mcap'}", "paused:=true", "loop:=true")
    player = bench.ros.add(
        BagPlayerNode(["--ros-args", *(item for s in settings for item in ("-p", s))])
    )
    bench.ros.wait_for(lambda: bench.node.count_publishers(topic) == 2)
    began_ns = time.time_ns()
    player._pause.enable(False)
    # The recording is years old; what is played is stamped anew, or it would be refused.
    bench.ros.wait_for(lambda: len(bench.predictions) >= 4)
    stamps = [to_nanoseconds(prediction.header.stamp) for prediction in list(bench.predictions)]
    assert all(stamp >= began_ns for stamp in stamps)
    # Played with the original timing: the n-th not before its time (late is the machine's affair),
    # and each time round begins at once. Stamps and waits are of two clocks: a hundredth for that.
    steps = len(stamps) - 1 - len(stamps) // 6
    assert max(stamps) - began_ns >= 0.99 * steps * 100_000_000


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("offered", ReliabilityPolicy.RELIABLE),
        ("reliable", ReliabilityPolicy.RELIABLE),
        ("best_effort", ReliabilityPolicy.BEST_EFFORT),
    ],
)
@pytest.mark.parametrize("transport", ["compressed", "raw"])
def test_images_are_asked_for_as_the_parameter_says(
    ros: Harness, asked: str, found: ReliabilityPolicy, transport: str
) -> None:
    node = ros.add(
        VinnPolicyNode(
            [
                "--ros-args",
                "-p",
                f"image_reliability:={asked}",
                "-p",
                f"image_transport:={transport}",
            ]
        )
    )
    topic = "/wrist_camera/image_raw" + ("/compressed" if transport == "compressed" else "")
    (info,) = ros.wait_for(lambda: ros.node.get_subscriptions_info_by_topic(topic))
    assert info.qos_profile.reliability == found
    reliable = found == ReliabilityPolicy.RELIABLE
    assert node.diagnose()[2]["images"] == ("reliable" if reliable else "best_effort")


def test_images_are_asked_for_in_no_fourth_way(ros: Harness) -> None:
    with pytest.raises(
        ConfigError, match=r"image_reliability.*allowed: offered, reliable, best_effort"
    ):
        VinnPolicyNode(["--ros-args", "-p", "image_reliability:=sometimes"])
