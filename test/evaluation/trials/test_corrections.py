"""The operator of `measure.corrections` takes over where a policy goes astray, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("mujoco", reason="needs the 'sim' extra")

from vinn.demos.types import ActionScale
from vinn.evaluation.trials import StopAt, run_trial
from vinn.policies.types import Prediction, TakenStep
from vinn.sim.expert import DoorExpert
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

from measure.corrections import PATIENCE, WatchedPolicy

pytestmark = [pytest.mark.physics, pytest.mark.slow]
SEED = 3


@pytest.fixture
def world() -> Iterator[DoorWorld]:
    with DoorWorld(SceneConfig()) as world:
        world.reset(SEED)
        yield world


class Scripted:
    """Says what a function says (`Policy`), and counts how often it was asked and told."""

    action_scale = ActionScale.METRIC

    def __init__(self, world: DoorWorld, state: int | None) -> None:
        """`state`: of the gripper, without moving; None: does as the expert does."""
        self._expert, self._state = DoorExpert(world, SEED), state
        self.asked = self.told = 0

    def reset(self) -> None:
        self.asked = self.told = 0

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        self.asked += 1
        delta, state = np.zeros(3), self._state
        if state is None:
            step = self._expert.next_step()
            assert step is not None
            delta, state = step.camera_delta_m, int(step.gripper)
        return Prediction(delta, float(state), np.eye(4)[state], ActionScale.METRIC)

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        self.told += 1


@pytest.mark.parametrize(("state", "own_steps"), [(3, 0), (0, PATIENCE)])
def test_the_operator_opens_the_door_that_the_policy_does_not(
    world: DoorWorld, state: int, own_steps: int
) -> None:
    """One policy closes beside the handle at once, the other one stands still for ever."""
    policy = Scripted(world, state)
    watched = WatchedPolicy(policy, world, SEED)
    result = run_trial(watched, world, stop_at=StopAt.OPENED)
    assert watched.taken_over
    assert result.opened
    assert (policy.asked, policy.told) == (own_steps + 1, own_steps)
    driven = result.steps - own_steps
    assert len(watched.frames) == len(watched.camera_delta_m) == len(watched.gripper) == driven
    assert watched.gripper[0] == 0
    assert watched.gripper[-1] == 3


def test_a_policy_that_goes_right_is_left_alone(world: DoorWorld) -> None:
    policy = Scripted(world, None)
    watched = WatchedPolicy(policy, world, SEED)
    result = run_trial(watched, world, stop_at=StopAt.OPENED)
    assert result.opened
    assert not watched.taken_over
    assert policy.asked == policy.told == result.steps
    assert watched.frames == []
