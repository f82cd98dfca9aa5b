"""The same trial says the same in one process and over ROS, at one frame per step or at fifteen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_stretch import FakeStretch
from ros_harness import Harness
from sensor_msgs.msg import CompressedImage
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.demos.frames import decode_jpeg
from vinn.policies.artefact import load_policy
from vinn.policies.build import build_policy
from vinn.policies.features import Features
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.progress import ProgressSettings
from vinn.policies.types import Prediction, taken_step
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import StepRequest, StepResult
from vinn_ros.conversions import compress, from_prediction_msg, taken_step_fields, to_stamp
from vinn_ros.node import qos
from vinn_ros.policy.node import VinnPolicyNode

from vinn_msgs.msg import ExecutorStatus, RolloutStatus
from vinn_msgs.msg import Prediction as PredictionMsg

pytestmark = pytest.mark.ros

STEPS = 8
SESSION = "trial"
POLL_S = 0.005
"""Of what the policy knows and no message says."""


class Trial:
    """A robot with real kinematics whose camera sees a square that stands still in the world."""

    def __init__(self, seed: int) -> None:
        config = RobotConfig(camera=CameraMount(tilt_rad=0.0))
        self.robot = FakeStretch()
        self.executor = StepExecutor(
            self.robot, MotionFilter(config, self.robot.limits()), config.executor
        )
        self.executor.begin_session(SESSION)
        self._seed = seed

    def frame(self, number: int) -> CompressedImage:
        """Of many frames between two steps, one; the first is the same whoever asks."""
        way = self.executor.tally.travelled_camera_m
        rng = np.random.default_rng([self._seed, self.executor.tally.steps_taken, number])
        place = np.random.default_rng(self._seed).uniform(0.2, 0.8, 2) - 20 * way[:2] + 5 * way[2]
        if number:
            place = rng.uniform(size=2)
        image = square_image(*np.clip(place, 0, 1))
        noise = rng.integers(0, 8, image.shape, dtype=np.uint8)
        return compress(image + noise, to_stamp(time.time_ns()), "camera")

    def execute(self, prediction: Prediction, sequence: int) -> StepResult:
        result = self.executor.execute(
            StepRequest(
                SESSION,
                sequence,
                prediction.camera_delta,
                prediction.gripper_value,
                prediction.gripper_probabilities,
            )
        )
        assert result.sent is not None, result.message
        return result


def action(prediction: Prediction) -> list[float]:
    return [*prediction.camera_delta, *prediction.gripper_probabilities]


def in_process(policy_dir: Path, seed: int) -> list[list[float]]:
    policy, trial, actions = load_policy(policy_dir), Trial(seed), []
    for sequence in range(1, STEPS + 1):
        prediction = policy.predict(decode_jpeg(trial.frame(0).data.tobytes(), "frame"))
        actions.append(action(prediction))
        policy.advance(prediction, taken_step(trial.execute(prediction, sequence)))
    return actions


class Bench:
    """The policy node, with this test for camera, supervisor and executor."""

    def __init__(self, ros: Harness, policy_dir: Path) -> None:
        self.ros = ros
        settings = (f"policy:={policy_dir}", "max_image_age_s:=5.0")
        self.node = ros.add(
            VinnPolicyNode(["--ros-args", *(item for s in settings for item in ("-p", s))])
        )
        self.predictions = ros.listen(PredictionMsg, "policy/prediction", qos.RECORD)

        def publisher(kind: type, topic: str):  # type: ignore[no-untyped-def]
            return ros.node.create_publisher(kind, topic, qos.RECORD)

        self._images = publisher(CompressedImage, "wrist_camera/image_raw/compressed")
        self._rollout = publisher(RolloutStatus, "supervisor/status")
        self._executor = publisher(ExecutorStatus, "executor/status")
        for topic in (self._images, self._rollout, self._executor):
            ros.wait_for(lambda topic=topic: topic.get_subscription_count() == 1)

    def predict(self, frame: CompressedImage) -> PredictionMsg:
        self._images.publish(frame)
        return self.ros.wait_for(
            lambda: next(
                (p for p in self.predictions if p.header.stamp == frame.header.stamp), None
            ),
            poll_s=POLL_S,
        )

    def run(self, seed: int, frames: int) -> list[list[float]]:
        trial, actions = Trial(seed), []
        running = RolloutStatus(state=RolloutStatus.RUNNING, session=SESSION)
        episode = self.node._policy.episode
        self._rollout.publish(running)
        self.ros.wait_for(lambda: episode.running)
        for sequence in range(1, STEPS + 1):
            for number in range(1, frames):
                self.predict(trial.frame(number))
            chosen = self.predict(trial.frame(0))
            assert (chosen.session, chosen.after_step) == (SESSION, sequence - 1)
            prediction = from_prediction_msg(chosen)
            actions.append(action(prediction))
            result = trial.execute(prediction, sequence)
            fields = taken_step_fields(result, trial.executor.tally, chosen.sequence)
            status = ExecutorStatus(session=SESSION, gripper_closed=result.gripper_closed, **fields)
            for _ in range(3):  # it is published at a rate as well
                self._executor.publish(status)
            self.ros.wait_for(lambda s=sequence: episode._said_step == s, poll_s=POLL_S)
        self._rollout.publish(RolloutStatus(state=RolloutStatus.ENDED, session=SESSION))
        self.ros.wait_for(lambda: not episode.running)
        return actions


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("memory")
    dataset, encoder = write_square_demos(root / "demos"), write_tiny_encoder(root / "encoder")
    prior = ProgressSettings(width=0.1, floor=0.05)
    return {
        "open loop": OPEN_LOOP.build(BuildRequest(dataset, root / "open_loop")),
        "context": build_policy(dataset, encoder, root / "context", k=3, features=Features(3)),
        "progress": build_policy(dataset, encoder, root / "progress", k=3, progress=prior),
    }


@pytest.fixture(params=["open loop", "context", "progress"])
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_fifteen_frames_per_step_say_what_one_process_says(
    ros: Harness, policies: dict[str, Path], name: str
) -> None:
    bench = Bench(ros, policies[name])
    for seed in (1, 2):
        expected = in_process(policies[name], seed)
        assert np.ptp(np.array(expected), axis=0).max() > 1e-3
        for frames in (1, 15):
            np.testing.assert_allclose(bench.run(seed, frames), expected, atol=1e-6)
