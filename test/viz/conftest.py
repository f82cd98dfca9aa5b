"""A recording of a made-up rollout, written by the real recorder."""

import cv2
import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.policies.types import Neighbor, Prediction
from vinn.rollout.messages import header_fields, image_fields, prediction_fields
from vinn.rollout.recorder import RolloutRecorder

MS = 1_000_000
START_NS = 1_700_000_000_000 * MS
STEP_NS = 100 * MS
"""Between two steps: image at 0, prediction at 20 ms, step taken on at 30 ms."""


def jpeg(color, size=(48, 64)):
    image = np.full((*size, 3), color, np.uint8)
    return cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()


def prediction_at(step, neighbors=2):
    return Prediction(
        camera_delta=np.array([0.01 * step, 0.0, 0.02]),
        gripper_value=0.5,
        gripper_probabilities=np.array([0.5, 0.5, 0.0, 0.0]),
        action_scale=ActionScale.METRIC,
        neighbors=tuple(
            Neighbor(f"demo-{i}", step, i, 1.0 + i, 0.5, np.full(3, 0.01, np.float32), 1)
            for i in range(neighbors)
        ),
        novelty=0.7,
        latency_s={"preprocess": 0.001, "encode": 0.01, "retrieve": 0.0005},
    )


@pytest.fixture
def record(tmp_path):
    """Write a recording; returns its path."""

    def write(name="r", steps=3, opens=True, cabinet="oak", info=None, neighbors=2, close=True):
        path = tmp_path / f"{name}.mcap"
        recorder = RolloutRecorder(path, info or {"session": name})

        def put(topic, type_name, fields, after_ns):
            stamp = START_NS + after_ns
            recorder.write_message(topic, type_name, fields, stamp)

        def scene(angle, after_ns, opened=False):
            put("/scene/status", "vinn_msgs/msg/SceneStatus", {
                "header": header_fields(START_NS + after_ns), "cabinet": cabinet,
                "occlusion": "none", "door_angle_rad": angle, "grasped": opened,
                "opened": opened, "fully_opened": False,
            }, after_ns)  # fmt: skip

        def status(topic, type_name, state, after_ns, **fields):
            put(topic, type_name, {
                "header": header_fields(START_NS + after_ns), "state": state, **fields,
            }, after_ns)  # fmt: skip

        for step in range(steps):
            begin = step * STEP_NS
            for camera, color in (("wrist", (200, 20 * step, 10)), ("overview", (10, 200, 30))):
                put(f"/{camera}_camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage",
                    image_fields(jpeg(color), START_NS + begin, camera), begin)  # fmt: skip
            status("/supervisor/status", "vinn_msgs/msg/RolloutStatus", 3, begin + MS, step=step)
            put(
                "/policy/prediction",
                "vinn_msgs/msg/Prediction",
                prediction_fields(prediction_at(step, neighbors), step, "p", START_NS + begin),
                begin + 20 * MS,
            )
            status("/executor/status", "vinn_msgs/msg/ExecutorStatus", 1, begin + 30 * MS,
                   sequence=step + 1)  # fmt: skip
            status("/executor/status", "vinn_msgs/msg/ExecutorStatus", 1, begin + 40 * MS,
                   sequence=step + 1)  # fmt: skip
            status("/executor/status", "vinn_msgs/msg/ExecutorStatus", 0, begin + 90 * MS,
                   sequence=step + 1)  # fmt: skip
            scene(0.01 * step, begin + 50 * MS)
        if opens:
            scene(0.6, steps * STEP_NS, opened=True)
        if not close:
            return path.with_name(f"{path.name}.partial")
        recorder.close({"reason": "SUCCESS" if opens else "STEP_LIMIT"})
        return path

    return write
