"""ROS 2 messages without ROS: definitions, serialisation (CDR), and how our types fill them.

Definitions of vinn_msgs are read from `interfaces/` beside this file, which is linked to the
interface package; those of the standard messages come with `rosbags`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vinn.policies.episode import Position
from vinn.policies.types import Prediction
from vinn.robot.session import SessionTally
from vinn.robot.types import StepResult

_INTERFACES = Path(__file__).parent / "interfaces"
_SEPARATOR = "=" * 80


@cache
def typestore() -> Typestore:
    """Standard messages as of ROS 2 Humble, and vinn_msgs."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = {}
    for name, text in _own_definitions().items():
        types.update(get_types_from_msg(text, name))
    store.register(types)
    return store


@cache
def definition(type_name: str) -> str:
    """The `ros2msg` text of a type with its dependencies, as rosbag2 stores it.

    Our own definitions keep their comments, so that a recording says its units and frames itself.

    Raises:
        KeyError: no such message type.
    """
    store = typestore()
    if type_name not in store.types:
        raise KeyError(f"{type_name}: not a known message type")
    dependencies: dict[str, tuple[str, str]] = {}
    text, _ = store.gendefhash(type_name, dependencies, ros_version=2)
    own = _own_definitions()
    parts = [own.get(type_name, text)]
    for name, (generated, _) in dependencies.items():
        package, _, short = name.partition("/msg/")
        parts.append(f"{_SEPARATOR}\nMSG: {package}/{short}\n{own.get(name, generated)}")
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def serialize(type_name: str, fields: Mapping[str, Any]) -> bytes:
    """A message given by (nested) field values to CDR; what is left out is zero or empty.

    Raises:
        KeyError: no such message type or field.
    """
    return bytes(typestore().serialize_cdr(build_message(type_name, fields), type_name))


def build_message(type_name: str, fields: Mapping[str, Any]) -> Any:
    """A message object of `rosbags` from (nested) field values; the rest is zero or empty.

    Raises:
        KeyError: no such message type or field.
    """
    store = typestore()
    if type_name not in store.types:
        raise KeyError(f"{type_name}: not a known message type")
    known = dict(store.fielddefs[type_name][1])
    unknown = set(fields) - set(known)
    if unknown:
        raise KeyError(f"{type_name}: no field {', '.join(sorted(unknown))}")
    values = {name: _value(kind, fields.get(name)) for name, kind in known.items()}
    return store.types[type_name](**values)


def time_fields(stamp_ns: int) -> dict[str, int]:
    """Fields of builtin_interfaces/msg/Time."""
    return {"sec": stamp_ns // 1_000_000_000, "nanosec": stamp_ns % 1_000_000_000}


def header_fields(stamp_ns: int, frame_id: str = "") -> dict[str, Any]:
    """Fields of std_msgs/msg/Header."""
    return {"stamp": time_fields(stamp_ns), "frame_id": frame_id}


def vector_fields(vector: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """Fields of geometry_msgs/msg/Vector3 from three numbers."""
    return dict(zip("xyz", (float(v) for v in vector), strict=True))


def image_fields(jpeg: bytes, stamp_ns: int, frame_id: str = "") -> dict[str, Any]:
    """Fields of sensor_msgs/msg/CompressedImage from the bytes of a JPEG file."""
    return {
        "header": header_fields(stamp_ns, frame_id),
        "format": "jpeg",
        "data": np.frombuffer(jpeg, dtype=np.uint8),
    }


def prediction_fields(
    prediction: Prediction,
    sequence: int,
    policy: str,
    stamp_ns: int,
    frame_id: str = "",
    position: Position | None = None,
) -> dict[str, Any]:
    """Fields of vinn_msgs/msg/Prediction; `stamp_ns` and `frame_id` are the image's."""
    latency, point = prediction.latency_s, prediction.grasp_point
    position = position or Position()
    unknown = np.full(2, np.nan)
    grasp: dict[str, Any] = {"grasp_point_uv": unknown, "grasp_point_uv_std": unknown}
    if point is not None:
        grasp = {
            "has_grasp_point": True,
            "grasp_point": vector_fields(point.camera_delta),
            "grasp_point_std": vector_fields(point.std),
            "grasp_point_uv": point.image_uv,
            "grasp_point_uv_std": point.image_std,
        }
    return {
        **grasp,
        "header": header_fields(stamp_ns, frame_id),
        "sequence": sequence,
        "policy": policy,
        "session": position.session,
        "after_step": position.step,
        "action_scale": prediction.action_scale.value,
        "camera_delta": vector_fields(prediction.camera_delta),
        "gripper_value": prediction.gripper_value,
        "gripper_probabilities": prediction.gripper_probabilities,
        "neighbors": [
            {
                "demonstration": neighbor.demonstration,
                "frame": neighbor.frame,
                "index": neighbor.index,
                "distance": neighbor.distance,
                "weight": neighbor.weight,
                "camera_delta": vector_fields(neighbor.camera_delta),
                "gripper_state": neighbor.gripper_state,
            }
            for neighbor in prediction.neighbors
        ],
        "novelty": prediction.novelty,
        "refusal": prediction.refusal.value if prediction.refusal else "",
        "preprocess_latency_s": latency.get("preprocess", 0.0),
        "encode_latency_s": latency.get("encode", 0.0),
        "retrieve_latency_s": latency.get("retrieve", 0.0),
    }


def taken_step_fields(
    result: StepResult, tally: SessionTally, prediction_sequence: int
) -> dict[str, Any]:
    """Fields of vinn_msgs/msg/ExecutorStatus that are of the last step taken."""
    return {
        "session": tally.session,
        "taken_step": tally.taken_step,
        "steps_taken": tally.steps_taken,
        "prediction_sequence": prediction_sequence,
        "sent_camera_delta": vector_fields(result.sent_camera_delta_m),
        "measured_camera_delta": vector_fields(result.measured_camera_delta_m),
        "travelled_camera": vector_fields(tally.travelled_camera_m),
        "gripper_aperture_m": result.gripper_aperture_m,
        "missed": result.missed,
        "attempt": result.attempt,
    }


@cache
def _own_definitions() -> dict[str, str]:
    files = sorted(_INTERFACES.glob("*/msg/*.msg"))
    return {f"{f.parts[-3]}/msg/{f.stem}": f.read_text(encoding="utf-8") for f in files}


def _value(kind: Any, given: Any) -> Any:
    """A field's value from what was given (None: the default), by its parsed definition."""
    node, what = kind
    if node == Nodetype.NAME:
        if given is not None and not isinstance(given, Mapping):
            return given  # a message object already
        return build_message(what, given or {})
    if node == Nodetype.BASE:
        default = {"string": "", "bool": False}.get(what[0], 0)
        return default if given is None else given
    (element_node, element), count = what
    length = count if node == Nodetype.ARRAY else 0
    if element_node == Nodetype.BASE and element[0] != "string":
        dtype = {"bool": "bool", "byte": "uint8", "char": "uint8"}.get(element[0], element[0])
        array = np.zeros(length, dtype) if given is None else np.asarray(given, dtype)
        if node == Nodetype.ARRAY and array.shape != (count,):
            raise ValueError(f"array of shape {array.shape}; allowed: {count} elements")
        return array
    items = [None] * length if given is None else list(given)
    return [_value((element_node, element), item) for item in items]
