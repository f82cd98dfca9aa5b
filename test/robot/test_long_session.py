"""Nothing in the control path grows with the length of a session."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_stretch import FakeStretch
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.policies.artefact import load_policy
from vinn.policies.build import build_policy
from vinn.robot.config import CameraMount, RobotConfig
from vinn.robot.executor import StepExecutor
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import ReasonCode, StepRequest

STEPS = 10_000
SETTLED = 1_000
ALLOWED_BLOCKS = 2_000
"""Noise of the interpreter's caches. One object kept per step would already be 9,000 more."""


@pytest.mark.slow
def test_ten_thousand_steps_leave_nothing_behind(tmp_path: Path) -> None:
    dataset = write_square_demos(tmp_path / "demos", 4)
    write_tiny_encoder(tmp_path / "encoder")
    build_policy(dataset, tmp_path / "encoder", tmp_path / "policy", k=5, bandwidth=0.5)
    policy = load_policy(tmp_path / "policy")
    # It closes on something: after some closings on nothing a session ends.
    robot = FakeStretch(grip_m=0.03)
    settings = RobotConfig(camera=CameraMount(tilt_rad=0.0))
    executor = StepExecutor(robot, MotionFilter(settings, robot.limits()), settings.executor)
    executor.begin_session("long")
    blocks: dict[int, int] = {}
    for sequence in range(1, STEPS + 1):
        place = 0.5 + 0.4 * np.sin(sequence / 7)
        prediction = policy.predict(square_image(place, 1 - place))
        result = executor.execute(
            StepRequest(
                session="long",
                sequence=sequence,
                # Forth and back, so that the arm stays in its range.
                camera_delta=np.array([0.0, 0.0, 0.002 * (-1) ** sequence]),
                gripper_value=prediction.gripper_value,
                gripper_probabilities=prediction.gripper_probabilities,
            )
        )
        assert result.reason is ReasonCode.NONE, result.message
        # The last step is commanded as the first one was.
        assert len(robot.commands) <= 1
        robot.commands.clear()
        if sequence in (SETTLED, STEPS):
            del prediction, result
            gc.collect()
            blocks[sequence] = sys.getallocatedblocks()
    assert blocks[STEPS] - blocks[SETTLED] < ALLOWED_BLOCKS
