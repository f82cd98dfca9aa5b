"""Open loop and random."""

from __future__ import annotations

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.errors import ImageError
from vinn.policies.memory import ActionMemory
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.random import RandomPolicy
from vinn.policies.types import Policy, Prediction, unknown_step

IMAGE = np.zeros((4, 4, 3), np.uint8)


def make_memory() -> ActionMemory:
    """Two demonstrations of 2 and 3 frames."""
    return ActionMemory(
        camera_delta=np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 3, 0], [0, 0, 5]], np.float32),
        gripper=np.array([0, 3, 0, 1, 2], np.int8),
        demonstration_ids=np.array([0, 0, 1, 1, 1]),
        frames=np.array([0, 1, 0, 1, 2], np.int32),
        names=("a", "b"),
        action_scale=ActionScale.METRIC,
    )


def predict_steps(policy: Policy, count: int) -> list[Prediction]:
    """Predict and take `count` steps."""
    played = []
    for _ in range(count):
        played.append(policy.predict(IMAGE))
        policy.advance(played[-1], unknown_step())
    return played


def test_open_loop_plays_the_mean_and_then_stands_still() -> None:
    policy = OpenLoopPolicy(make_memory())
    for _episode in range(2):
        played = predict_steps(policy, 5)
        np.testing.assert_allclose(
            [p.camera_delta for p in played],
            [[0.5, 0, 0.5], [0, 2, 0], [0, 0, 5], [0, 0, 0], [0, 0, 0]],
        )
        np.testing.assert_allclose([p.gripper_value for p in played], [0, 2, 2, 2, 2])
        np.testing.assert_allclose(played[1].gripper_probabilities, [0, 0.5, 0, 0.5])
        assert played[0].neighbors == ()
        policy.reset()


def test_open_loop_ignores_the_picture_but_not_its_shape() -> None:
    one, two = OpenLoopPolicy(make_memory()), OpenLoopPolicy(make_memory())
    white = np.full_like(IMAGE, 255)
    np.testing.assert_array_equal(one.predict(IMAGE).camera_delta, two.predict(white).camera_delta)
    with pytest.raises(ImageError):
        one.predict(IMAGE[0])


def test_random_is_seeded_and_of_the_demonstrations_length() -> None:
    one, two, other = (RandomPolicy(make_memory(), seed) for seed in (1, 1, 2))
    deltas = [policy.predict(IMAGE).camera_delta for policy in (one, two, other)]
    np.testing.assert_array_equal(deltas[0], deltas[1])
    assert not np.allclose(deltas[0], deltas[2])
    drawn = np.array([p.camera_delta for p in predict_steps(one, 2000)])
    # Mean length of the moving steps: (1 + 1 + 1 + 3 + 5) / 5.
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 2.2)
    # The mean of 2000 random directions of length 2.2 has a deviation of 0.03 per axis.
    assert np.abs(drawn.mean(axis=0)).max() < 0.15


def test_random_unit_actions_have_the_known_error() -> None:
    """Two independent unit vectors differ by 2 in squared length: 2/3 per component."""
    unit = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    memory = ActionMemory(
        unit,
        np.zeros(5, np.int8),
        np.zeros(5, int),
        np.arange(5, dtype=np.int32),
        ("a",),
        ActionScale.UNIT,
    )
    policy = RandomPolicy(memory, seed=0)
    drawn = np.array([p.camera_delta for p in predict_steps(policy, 5000)])
    targets = np.tile(unit, (1000, 1))
    assert ((drawn - targets) ** 2).mean() == pytest.approx(2 / 3, abs=0.02)
