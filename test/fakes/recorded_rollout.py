"""A recorded rollout in which a policy really said what is recorded."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from tiny_encoder import square_image
from vinn.demos.frames import decode_jpeg, encode_jpeg
from vinn.policies.artefact import load_policy
from vinn.rollout.messages import header_fields, image_fields, prediction_fields
from vinn.rollout.recorder import LOST_KEY, RolloutRecorder

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 200_000_000
IMAGES = 12
WRIST = "/wrist_camera/image_raw/compressed"


def record_rollout(
    path: Path,
    policy_dir: Path,
    success: bool = True,
    lost: int = 0,
    close: bool = True,
    driven: Container[int] = (),
) -> Path:
    """Record `IMAGES` frames; the first one has no prediction, and one prediction no frame.

    Args:
        path: the file.
        policy_dir: whose policy predicts.
        success: how it ends.
        lost: messages that are said to be missing.
        close: whether its writer comes to close it.
        driven: images on which the operator decided, by hand, to go where the policy does not.

    Returns:
        The recording, or what a killed process leaves of it (not `close`).
    """
    policy = load_policy(policy_dir)
    with RolloutRecorder(path, {"session": path.stem, "name": "square"}) as recorder:
        recorder.write_parameters({"vinn_policy.policy": str(policy_dir)})
        for i in range(-1, IMAGES):
            now_ns = START_NS + i * PERIOD_NS
            jpeg = encode_jpeg(square_image(i / IMAGES if i >= 0 else 0.5, 0.3), 80)
            if i >= 0:
                image = image_fields(jpeg, now_ns, "camera")
                recorder.write_message(WRIST, "sensor_msgs/msg/CompressedImage", image, now_ns)
            if i == 0:
                continue
            said = policy.predict(decode_jpeg(jpeg, "test"))
            recorder.write_message(
                "/policy/prediction",
                "vinn_msgs/msg/Prediction",
                prediction_fields(said, i + 2, "square@1", now_ns, "camera"),
                now_ns + 20_000_000,
            )
            if i in driven:
                said = replace(said, camera_delta=-said.camera_delta, gripper_value=0.0)
                recorder.write_message(
                    "/supervisor/driven_step",
                    "vinn_msgs/msg/Prediction",
                    prediction_fields(said, i + 2, "operator", now_ns, "camera"),
                    now_ns + 30_000_000,
                )
            _record_step(recorder, i, now_ns + 40_000_000, said.camera_delta)
        if not close:
            return path.with_name(f"{path.name}.partial")
        outcome = {"reason": "SUCCESS" if success else "STEP_LIMIT", "steps": "11"}
        recorder.close({**outcome, LOST_KEY: str(lost)} if lost else outcome)
    return path


def _record_step(recorder: RolloutRecorder, i: int, now_ns: int, delta: object) -> None:
    x, y, z = delta  # type: ignore[misc]
    begun = {"state": 1, "sequence": i + 2, "gripper_value": 3.0 * i / IMAGES}
    ended = {
        **begun,
        "state": 0,
        "reason": "NONE",
        "requested_base_delta": {"x": x, "y": y, "z": z},
        "sent_base_delta": {"x": 0.5 * x, "y": 0.5 * y, "z": 0.5 * z},
        "gripper_closed": i > 8,
    }
    for delay_ns, fields in ((0, begun), (80_000_000, ended)):
        status = {"header": header_fields(now_ns + delay_ns), **fields}
        recorder.write_message(
            "/executor/status", "vinn_msgs/msg/ExecutorStatus", status, now_ns + delay_ns
        )
    recorder.write_message(
        "/stretch/joint_states",
        "sensor_msgs/msg/JointState",
        {
            "header": header_fields(now_ns),
            "name": ["joint_lift", "wrist_extension"],
            "position": [0.6 + 0.01 * i, 0.3],
        },
        now_ns,
    )
    recorder.write_message(
        "/supervisor/status",
        "vinn_msgs/msg/RolloutStatus",
        {"header": header_fields(now_ns), "state": 3, "step": max(i, 0), "max_steps": 40},
        now_ns,
    )
