from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from vinn.demos import frames
from vinn.demos.types import ActionScale
from vinn.errors import ImageError
from vinn.policies.types import GraspPoint, Neighbor, Prediction, taken_step
from vinn.robot.session import SessionTally
from vinn.robot.types import JointCommand, ReasonCode, StepResult
from vinn.rollout import messages
from vinn.rollout.step_report import step_report
from vinn_ros.conversions import (
    compress,
    decompress,
    from_image,
    from_joint_command_msg,
    from_prediction_msg,
    to_image,
    to_joint_command_msg,
    to_nanoseconds,
    to_prediction_msg,
    to_stamp,
    to_step_request,
    to_step_result,
    to_step_result_msg,
)

from vinn_msgs.msg import ExecutorStatus
from vinn_ros import conversions

STAMP = to_stamp(1_234_567_890_987_654_321)


def a_picture(height: int = 48, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def a_prediction() -> Prediction:
    neighbor = Neighbor(
        demonstration="oak_3",
        frame=7,
        index=41,
        distance=1.5,
        weight=1.0,
        camera_delta=np.array([0.01, -0.02, 0.03], np.float32),
        gripper_state=2,
    )
    return Prediction(
        camera_delta=np.array([0.001, 0.002, -0.003]),
        gripper_value=1.25,
        gripper_probabilities=np.array([0.25, 0.25, 0.5, 0.0]),
        action_scale=ActionScale.METRIC,
        neighbors=(neighbor,),
        novelty=0.75,
        latency_s={"preprocess": 0.5, "encode": 0.25, "retrieve": 0.125},
    )


def test_stamps_keep_every_nanosecond() -> None:
    assert to_nanoseconds(STAMP) == 1_234_567_890_987_654_321


def test_a_compressed_image_keeps_channels_and_stamp() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 200  # red in RGB
    message = compress(picture, STAMP, "camera")
    assert message.header.stamp == STAMP
    back = decompress(message, 4096)
    assert back.shape == (32, 32, 3)
    assert back[..., 0].mean() > 180
    assert back[..., 2].mean() < 30


def test_a_raw_image_round_trips_exactly() -> None:
    picture = a_picture()
    assert np.array_equal(from_image(to_image(picture, STAMP, ""), 4096), picture)


def test_bgr_and_grey_images_become_rgb() -> None:
    picture = a_picture()
    message = to_image(np.ascontiguousarray(picture[..., ::-1]), STAMP, "")
    message.encoding = "bgr8"
    assert np.array_equal(from_image(message, 4096), picture)
    grey = Image(height=2, width=3, encoding="mono8", step=3, data=bytes(range(6)))
    assert from_image(grey, 4096)[1, 2].tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoding": "16UC1"}, "encoding"),
        ({"step": 63 * 3}, "step"),
        ({"width": 0}, "0 x 48"),
        ({"height": 0}, "64 x 0"),
        ({"height": 10_000}, "64 x 10000"),
        ({"data": b"\0" * 100}, "100 bytes"),
    ],
)
def test_malformed_raw_images_are_refused_by_name(change: dict, named: str) -> None:
    message = to_image(a_picture(), STAMP, "")
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ImageError, match=named):
        from_image(message, 4096)


def test_malformed_compressed_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compress(a_picture(), STAMP, "").data.tobytes()
    for data in (b"", b"\xff\xd8", b"no jpeg at all", whole[: len(whole) // 2], whole[:-2]):
        with pytest.raises(ImageError):
            decompress(CompressedImage(format="jpeg", data=data), 4096)
    large = compress(np.zeros((600, 600, 3), np.uint8), STAMP, "")
    monkeypatch.setattr(
        frames.cv2, "imdecode", lambda *_: pytest.fail("decoded before its size was known")
    )
    with pytest.raises(ImageError, match="600 x 600"):
        decompress(large, 512)


def test_a_prediction_round_trips() -> None:
    prediction = a_prediction()
    back = from_prediction_msg(to_prediction_msg(prediction))
    assert np.allclose(back.camera_delta, prediction.camera_delta)
    assert back.gripper_value == prediction.gripper_value
    assert np.allclose(back.gripper_probabilities, prediction.gripper_probabilities)
    assert back.action_scale is prediction.action_scale
    assert back.latency_s == prediction.latency_s
    assert back.novelty == prediction.novelty
    assert back.neighbors[0].demonstration == "oak_3"
    assert np.allclose(back.neighbors[0].camera_delta, prediction.neighbors[0].camera_delta)


def test_a_grasp_point_round_trips_and_none_stays_none() -> None:
    rng = np.random.default_rng(4)
    for outside in (False, True):
        uv = np.full(2, np.nan) if outside else rng.uniform(size=2)
        point = GraspPoint(rng.normal(size=3), rng.uniform(size=3), uv, uv / 3)
        sent = dataclasses.replace(a_prediction(), grasp_point=point)
        back = from_prediction_msg(to_prediction_msg(sent)).grasp_point
        assert back is not None
        assert (back.camera_delta == point.camera_delta).all()
        assert (back.std == point.std).all()
        np.testing.assert_allclose(back.image_uv, uv, atol=1e-7)
        np.testing.assert_allclose(back.image_std, point.image_std, atol=1e-7)
    assert from_prediction_msg(to_prediction_msg(a_prediction())).grasp_point is None


@pytest.mark.parametrize("session", ["", "s"])
def test_an_executor_without_a_taken_step_reports_none(session: str) -> None:
    assert step_report(ExecutorStatus(session=session, taken_step=0 if session else 3)) is None


def test_a_taken_step_is_reported_to_the_last_bit() -> None:
    rng = np.random.default_rng(9)
    sent, measured, way = rng.normal(size=(3, 3))
    result = StepResult(
        ReasonCode.UNREACHABLE,
        "",
        np.zeros(3),
        np.zeros(3),
        JointCommand(0.6, 0.2, 0.1, 0.2, 0.3, 0.05),
        True,
        1.0,
        sent_camera_delta_m=sent,
        measured_camera_delta_m=measured,
        gripper_aperture_m=1 / 30,
        missed=True,
        attempt=2,
    )
    tally = SessionTally("s", 7, 7, 5, way)
    for fields, build in (
        (conversions.taken_step_fields(result, tally, 41), lambda f: ExecutorStatus(**f)),
        (
            messages.taken_step_fields(result, tally, 41),
            lambda f: messages.build_message("vinn_msgs/msg/ExecutorStatus", f),
        ),
    ):
        report = step_report(build({**fields, "session": "s", "gripper_closed": True}))
        assert report is not None
        assert (report.session, report.step, report.steps_taken) == ("s", 7, 5)
        assert report.prediction_sequence == 41
        assert (report.travelled_camera_m == way).all()
        expected = taken_step(result)
        assert (report.taken.camera_delta_m == measured).all()
        assert (report.taken.sent_camera_delta_m == sent).all()
        assert report.taken.gripper_closed == expected.gripper_closed
        assert report.taken.gripper_aperture_m == expected.gripper_aperture_m
        assert report.taken.missed


def test_a_step_request_carries_what_the_filter_checks() -> None:
    message = to_prediction_msg(a_prediction())
    request = to_step_request("s", 3, message, 0.125)
    assert (request.session, request.sequence, request.image_age_s) == ("s", 3, 0.125)
    assert request.action_scale is ActionScale.METRIC
    assert request.novelty == 0.75
    assert np.allclose(request.camera_delta, [0.001, 0.002, -0.003])


@pytest.mark.parametrize("sent", [None, JointCommand(0.6, 0.2, 0.1, 0.2, 0.3, 0.05, 0.01)])
def test_a_step_result_round_trips(sent: JointCommand | None) -> None:
    result = StepResult(
        reason=ReasonCode.STALLED,
        message="stuck",
        requested_base_delta_m=np.array([0.1, 0.2, 0.3]),
        sent_base_delta_m=np.array([0.01, 0.02, 0.03]),
        sent=sent,
        gripper_closed=True,
        duration_s=1.5,
        sent_camera_delta_m=np.array([0.01, 1 / 3, 0.03]),
        measured_camera_delta_m=np.array([0.02, -1 / 7, 0.05]),
        gripper_aperture_m=1 / 300,
        missed=True,
        attempt=2,
    )
    message = to_step_result_msg(result, 2**40, STAMP)
    assert message.prediction_sequence == 2**40
    back = to_step_result(message)
    # To the last bit: what a policy remembers of a step is the same with and without ROS.
    assert (back.sent_camera_delta_m == result.sent_camera_delta_m).all()
    assert (back.measured_camera_delta_m == result.measured_camera_delta_m).all()
    assert (back.gripper_aperture_m, back.missed, back.attempt) == (1 / 300, True, 2)
    assert (back.reason, back.message, back.sent) == (result.reason, "stuck", sent)
    assert np.allclose(back.sent_base_delta_m, result.sent_base_delta_m)
    assert back.gripper_closed


def test_a_joint_command_round_trips() -> None:
    command = JointCommand(0.1, 0.2, 0.3, 0.4, 0.5, 0.06, -0.01, 0.0)
    assert from_joint_command_msg(to_joint_command_msg(command)) == command
