"""What the page shows, gathered from the messages as they come in. Thread-safe; no rclpy."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from vinn.rollout.states import RolloutState

_EXECUTOR_STATES = ("IDLE", "EXECUTING", "HOMING", "LATCHED")
_OUTCOMES = ("unknown", "failure", "success")
_LEVELS = ("ok", "warning", "error", "stale")
_FORGET_DIAGNOSTICS_S = 5.0
_WAITING = ("waiting_for_step", "waiting_for_environment")
"""What the supervisor's diagnostics say of whether it waits for the operator."""


class Board:
    """The newest of everything, as plain values for JSON."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        self._seen_s: dict[str, float] = {}
        self._diagnostics: dict[str, tuple[float, dict[str, Any]]] = {}
        self._parameters: dict[str, Any] = {}

    def snapshot(self) -> dict[str, Any]:
        """A copy; `ages_s` says how long ago something of each kind came in."""
        now_s = time.monotonic()
        with self._lock:
            diagnostics = [
                status
                for seen_s, status in self._diagnostics.values()
                if now_s - seen_s < _FORGET_DIAGNOSTICS_S
            ]
            return {
                **self._values,
                # Tenths are enough, and an idle page is not sent anew for a hundredth.
                "ages_s": {kind: round(now_s - s, 1) for kind, s in self._seen_s.items()},
                "diagnostics": sorted(diagnostics, key=lambda status: str(status["name"])),
                "parameters": dict(self._parameters),
            }

    def parameter(self, name: str, default: Any) -> Any:
        """A parameter as it was when last asked for."""
        with self._lock:
            return self._parameters.get(name, default)

    def seen(self, kind: str) -> None:
        """Something of this kind came in now."""
        with self._lock:
            self._seen_s[kind] = time.monotonic()

    def take_parameters(self, values: Mapping[str, Any]) -> None:
        """Parameters of the nodes, by name."""
        with self._lock:
            self._parameters.update(values)

    def take_supervisor(self, status: Any) -> None:
        """A vinn_msgs/RolloutStatus."""
        values = {
            "state": RolloutState.name_of(status.state),
            "reason": status.reason,
            "message": status.message,
            "session": status.session,
            "step": status.step,
            "max_steps": status.max_steps,
            "driven": bool(status.driven),
            "elapsed_s": _number(status.elapsed_s, 1),
            "outcome": _name(_OUTCOMES, status.outcome),
            "recording": status.recording,
        }
        self._take("supervisor", values)

    def take_executor(self, status: Any) -> None:
        """A vinn_msgs/ExecutorStatus."""
        values = {
            "state": _name(_EXECUTOR_STATES, status.state),
            "reason": status.reason,
            "message": status.message,
            "sequence": status.sequence,
            "requested_base_delta_m": _vector(status.requested_base_delta),
            "sent_base_delta_m": _vector(status.sent_base_delta),
            "gripper_closed": bool(status.gripper_closed),
            "attempt": status.attempt,
            "attempts": status.attempts,
            "missed": bool(status.missed),
        }
        self._take("executor", values)

    def take_prediction(self, prediction: Any) -> None:
        """A vinn_msgs/Prediction."""
        values = {
            "sequence": prediction.sequence,
            "policy": prediction.policy,
            "camera_delta": _vector(prediction.camera_delta),
            "action_scale": prediction.action_scale,
            "gripper_value": _number(prediction.gripper_value),
            "novelty": _number(prediction.novelty),
            "grasp_point": _grasp_point(prediction),
            "latency_ms": {
                "preprocess": _number(1e3 * prediction.preprocess_latency_s),
                "encode": _number(1e3 * prediction.encode_latency_s),
                "retrieve": _number(1e3 * prediction.retrieve_latency_s),
                "image age": _number(1e3 * prediction.image_age_s),
            },
            "neighbors": [
                {
                    "demonstration": neighbor.demonstration,
                    "frame": neighbor.frame,
                    "distance": _number(neighbor.distance),
                    "weight": _number(neighbor.weight),
                    "gripper_state": neighbor.gripper_state,
                }
                for neighbor in prediction.neighbors
            ],
        }
        self._take("policy", values)

    def take_scene(self, status: Any) -> None:
        """A vinn_msgs/SceneStatus."""
        values = {
            "cabinet": status.cabinet,
            "door_angle_deg": _number(math.degrees(status.door_angle_rad), 1),
            "grasped": bool(status.grasped),
            "opened": bool(status.opened),
        }
        self._take("scene", values)

    def take_diagnostics(self, array: Any) -> None:
        """A diagnostic_msgs/DiagnosticArray."""
        now_s = time.monotonic()
        with self._lock:
            for status in array.status:
                level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
                values = {entry.key: entry.value for entry in status.values}
                for waiting in _WAITING:
                    if waiting in values:
                        self._values[waiting] = values[waiting] == "True"
                self._diagnostics[status.name] = (
                    now_s,
                    {
                        "name": status.name,
                        "level": _name(_LEVELS, level),
                        "message": status.message,
                    },
                )

    def _take(self, kind: str, values: dict[str, Any]) -> None:
        with self._lock:
            self._values[kind] = values
            self._seen_s[kind] = time.monotonic()


def _grasp_point(prediction: Any) -> dict[str, Any] | None:
    if not prediction.has_grasp_point:
        return None
    return {
        "delta": _vector(prediction.grasp_point),
        "std": _vector(prediction.grasp_point_std),
        "uv": [_number(value) for value in prediction.grasp_point_uv],
        "uv_std": [_number(value) for value in prediction.grasp_point_uv_std],
    }


def _vector(vector: Any) -> list[float | None]:
    return [_number(vector.x), _number(vector.y), _number(vector.z)]


def _number(value: float, digits: int = 5) -> float | None:
    """Rounded, and None for what JSON cannot say."""
    return round(float(value), digits) if math.isfinite(value) else None


def _name(names: Sequence[str], number: int) -> str:
    """One of `names`; what this version has no name for stays a number."""
    return names[number] if 0 <= number < len(names) else str(number)
