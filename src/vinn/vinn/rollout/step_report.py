"""What executor/status says of the last step that was taken, as a policy's episode wants it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.policies.episode import StepReport
from vinn.policies.types import TakenStep


def step_report(status: Any) -> StepReport | None:
    """The last step that an executor has taken in its session.

    Args:
        status: vinn_msgs/msg/ExecutorStatus, from a topic or a recording.

    Returns:
        None where no step was taken yet, or the recording is from before statuses said so.
    """
    if not status.session or not getattr(status, "taken_step", 0):
        return None
    return StepReport(
        session=str(status.session),
        step=int(status.taken_step),
        steps_taken=int(status.steps_taken),
        prediction_sequence=int(status.prediction_sequence),
        travelled_camera_m=_vector(status.travelled_camera),
        taken=TakenStep(
            camera_delta_m=_vector(status.measured_camera_delta),
            sent_camera_delta_m=_vector(status.sent_camera_delta),
            gripper_closed=bool(status.gripper_closed),
            gripper_aperture_m=float(status.gripper_aperture_m),
            missed=bool(status.missed),
        ),
    )


def _vector(vector: Any) -> NDArray[np.float64]:
    return np.array([vector.x, vector.y, vector.z], dtype=np.float64)
