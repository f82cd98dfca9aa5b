"""Messages to the types of `vinn` and back; the only place that knows both.

Images are `(H, W, 3) uint8` RGB in `vinn`. What comes from outside is decoded by `vinn`, as
recorded images are, and checked before: a wrong size costs nothing then.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from vinn.demos.types import ActionScale
from vinn.errors import MessageError
from vinn.policies.types import GraspPoint, Neighbor, Prediction
from vinn.robot.session import SessionTally
from vinn.robot.types import JointCommand, ReasonCode, StepRequest, StepResult
from vinn.rollout.storage.images import compressed_rgb, raw_rgb

from vinn_msgs.action import ExecuteStep
from vinn_msgs.msg import JointCommand as JointCommandMsg
from vinn_msgs.msg import Neighbor as NeighborMsg
from vinn_msgs.msg import Prediction as PredictionMsg

JPEG_QUALITY = 90

_REASONS = {reason.value: reason for reason in ReasonCode}

# Latency stages of a `Prediction` and where they go in the message.
_LATENCIES = {
    "preprocess": "preprocess_latency_s",
    "encode": "encode_latency_s",
    "retrieve": "retrieve_latency_s",
}


def to_nanoseconds(stamp: Time) -> int:
    """A stamp as nanoseconds since the epoch."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def cdr_stamp_ns(cdr: bytes) -> int:
    """The stamp in a serialised message that begins with a header [ns since the epoch]."""
    # Four bytes say how it is encoded; the second is odd for little-endian.
    seconds, nanoseconds = struct.unpack_from("<iI" if cdr[1] & 1 else ">iI", cdr, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def to_stamp(nanoseconds: int) -> Time:
    """Nanoseconds since the epoch as a stamp."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def to_vector3(vector: NDArray[np.floating]) -> Vector3:
    """(3,) as a message."""
    return Vector3(x=float(vector[0]), y=float(vector[1]), z=float(vector[2]))


def from_vector3(vector: Vector3) -> NDArray[np.float64]:
    """(3,) from a message."""
    return np.array([vector.x, vector.y, vector.z])


# Images


def compress(image_rgb: NDArray[np.uint8], stamp: Time, frame_id: str) -> CompressedImage:
    """An RGB image as a JPEG message."""
    image_bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    message = CompressedImage(format="jpeg")
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    message.data = encoded.tobytes()  # bytes are three times cheaper here than an array
    return message


def to_image(image_rgb: NDArray[np.uint8], stamp: Time, frame_id: str) -> Image:
    """An RGB image as a raw message."""
    height, width = image_rgb.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    message.data = image_rgb.tobytes()
    return message


def decompress(message: CompressedImage, largest_px: int) -> NDArray[np.uint8]:
    """The RGB image in a JPEG or PNG message.

    Args:
        message: what came in.
        largest_px: neither side may be longer [px].

    Raises:
        vinn.errors.ImageError: empty, neither JPEG nor PNG, too large, or truncated.
    """
    return compressed_rgb(message, "compressed image", largest_px)


def from_image(message: Image, largest_px: int) -> NDArray[np.uint8]:
    """The RGB image in a raw message.

    Raises:
        vinn.errors.ImageError: size, encoding, step or length are wrong.
    """
    return raw_rgb(message, "image", largest_px)


# Predictions and steps


def to_prediction_msg(prediction: Prediction) -> PredictionMsg:
    """A prediction as a message; header, sequence, policy and image age are the node's."""
    message = PredictionMsg(
        action_scale=prediction.action_scale.value,
        camera_delta=to_vector3(prediction.camera_delta),
        gripper_value=float(prediction.gripper_value),
        gripper_probabilities=prediction.gripper_probabilities.astype(np.float32),
        neighbors=[_to_neighbor_msg(neighbor) for neighbor in prediction.neighbors],
        novelty=float(prediction.novelty),
        refusal=prediction.refusal.value if prediction.refusal else "",
        grasp_point_uv=np.full(2, np.nan, np.float32),
        grasp_point_uv_std=np.full(2, np.nan, np.float32),
    )
    point = prediction.grasp_point
    if point is not None:
        message.has_grasp_point = True
        message.grasp_point = to_vector3(point.camera_delta)
        message.grasp_point_std = to_vector3(point.std)
        message.grasp_point_uv = point.image_uv.astype(np.float32)
        message.grasp_point_uv_std = point.image_std.astype(np.float32)
    for stage, field in _LATENCIES.items():
        setattr(message, field, float(prediction.latency_s.get(stage, 0.0)))
    return message


def from_prediction_msg(message: PredictionMsg) -> Prediction:
    """The prediction in a message.

    Raises:
        vinn.errors.MessageError: its unit is one that this version does not know.
    """
    return Prediction(
        camera_delta=from_vector3(message.camera_delta),
        gripper_value=float(message.gripper_value),
        gripper_probabilities=np.array(message.gripper_probabilities, dtype=np.float64),
        action_scale=_action_scale(message),
        neighbors=tuple(_from_neighbor_msg(neighbor) for neighbor in message.neighbors),
        novelty=float(message.novelty),
        latency_s={stage: float(getattr(message, field)) for stage, field in _LATENCIES.items()},
        refusal=_from_refusal(message.refusal),
        grasp_point=_from_grasp_point(message) if message.has_grasp_point else None,
    )


def _from_refusal(said: str) -> ReasonCode | None:
    """What is no reason code at all stays a refusal, one that is allowed nowhere."""
    return _REASONS.get(said, ReasonCode.INVALID_INPUT) if said else None


def _from_grasp_point(message: PredictionMsg) -> GraspPoint:
    return GraspPoint(
        camera_delta=from_vector3(message.grasp_point),
        std=from_vector3(message.grasp_point_std),
        image_uv=np.array(message.grasp_point_uv, dtype=np.float64),
        image_std=np.array(message.grasp_point_uv_std, dtype=np.float64),
    )


def _action_scale(message: PredictionMsg) -> ActionScale:
    try:
        return ActionScale(message.action_scale)
    except ValueError:
        raise MessageError(
            f"prediction: action_scale: {message.action_scale!r}; allowed: "
            f"{', '.join(scale.value for scale in ActionScale)}"
        ) from None


def _to_neighbor_msg(neighbor: Neighbor) -> NeighborMsg:
    return NeighborMsg(
        demonstration=neighbor.demonstration,
        frame=int(neighbor.frame),
        index=int(neighbor.index),
        distance=float(neighbor.distance),
        weight=float(neighbor.weight),
        camera_delta=to_vector3(neighbor.camera_delta),
        gripper_state=int(neighbor.gripper_state),
    )


def _from_neighbor_msg(message: NeighborMsg) -> Neighbor:
    return Neighbor(
        demonstration=message.demonstration,
        frame=message.frame,
        index=message.index,
        distance=message.distance,
        weight=message.weight,
        camera_delta=from_vector3(message.camera_delta).astype(np.float32),
        gripper_state=message.gripper_state,
    )


def to_step_request(
    session: str,
    sequence: int,
    message: PredictionMsg,
    image_age_s: float,
    driven: bool = False,
) -> StepRequest:
    """What the executor is asked for; numbers are not checked here, the motion filter does.

    Raises:
        vinn.errors.MessageError: its unit is one that this version does not know.
    """
    return StepRequest(
        session=session,
        sequence=int(sequence),
        camera_delta=from_vector3(message.camera_delta),
        gripper_value=float(message.gripper_value),
        gripper_probabilities=np.array(message.gripper_probabilities, dtype=np.float64),
        image_age_s=image_age_s,
        novelty=float(message.novelty),
        refusal=_from_refusal(message.refusal),
        action_scale=_action_scale(message),
        driven=driven,
    )


def to_joint_command_msg(command: JointCommand | None) -> JointCommandMsg:
    """What was sent, as a message; all zeros if nothing was."""
    message = JointCommandMsg()
    if command is not None:
        for field in message.get_fields_and_field_types():
            setattr(message, field, float(getattr(command, field)))
    return message


def from_joint_command_msg(message: JointCommandMsg) -> JointCommand:
    """What was sent, from a message."""
    return JointCommand(
        **{field: getattr(message, field) for field in message.get_fields_and_field_types()}
    )


def to_step_result_msg(
    result: StepResult, prediction_sequence: int, settled: Time
) -> ExecuteStep.Result:
    """What became of a step on a prediction, as the action's result."""
    return ExecuteStep.Result(
        error_code=result.reason.value,
        error_msg=result.message,
        requested_base_delta=to_vector3(result.requested_base_delta_m),
        sent_base_delta=to_vector3(result.sent_base_delta_m),
        sent=to_joint_command_msg(result.sent),
        gripper_closed=result.gripper_closed,
        prediction_sequence=prediction_sequence,
        sent_camera_delta=to_vector3(result.sent_camera_delta_m),
        measured_camera_delta=to_vector3(result.measured_camera_delta_m),
        gripper_aperture_m=float(result.gripper_aperture_m),
        missed=result.missed,
        attempt=result.attempt,
        duration_s=float(result.duration_s),
        settled=settled,
    )


def explained(reason: ReasonCode, word: str, message: str) -> str:
    """The sentence beside a reason code; with the sender's word where this version has none."""
    foreign = reason is ReasonCode.UNKNOWN and word != reason.value
    return f"reason {word!r} is not known here: {message}" if foreign else message


def to_step_result(message: ExecuteStep.Result) -> StepResult:
    """What became of a step, from the action's result."""
    reason = ReasonCode.of(message.error_code)
    sent = from_joint_command_msg(message.sent)
    nothing = sent == from_joint_command_msg(JointCommandMsg())
    return StepResult(
        reason=reason,
        message=explained(reason, message.error_code, message.error_msg),
        requested_base_delta_m=from_vector3(message.requested_base_delta),
        sent_base_delta_m=from_vector3(message.sent_base_delta),
        sent=None if nothing else sent,
        gripper_closed=bool(message.gripper_closed),
        duration_s=float(message.duration_s),
        sent_camera_delta_m=from_vector3(message.sent_camera_delta),
        measured_camera_delta_m=from_vector3(message.measured_camera_delta),
        gripper_aperture_m=float(message.gripper_aperture_m),
        missed=bool(message.missed),
        attempt=int(message.attempt),
    )


def taken_step_fields(
    result: StepResult, tally: SessionTally, prediction_sequence: int
) -> dict[str, Any]:
    """What executor/status says of a step that was taken."""
    return {
        "taken_step": tally.taken_step,
        "steps_taken": tally.steps_taken,
        "prediction_sequence": prediction_sequence,
        "sent_camera_delta": to_vector3(result.sent_camera_delta_m),
        "measured_camera_delta": to_vector3(result.measured_camera_delta_m),
        "travelled_camera": to_vector3(tally.travelled_camera_m),
        "gripper_aperture_m": float(result.gripper_aperture_m),
        "missed": result.missed,
        "attempt": result.attempt,
    }
