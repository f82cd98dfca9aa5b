"""Trials of a policy artefact on doors, as jobs: in this process or in several (`TrialPool`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vinn.evaluation.policy_source import PolicySource, opened_policy
from vinn.evaluation.recorded_trials import record_trial
from vinn.evaluation.trial_pool import Kept
from vinn.evaluation.trials import (
    StopAt,
    TrialResult,
    check_trials,
    run_trial,
    trial_seed,
)
from vinn.robot.config import RobotConfig
from vinn.rollout.config import RolloutConfig
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld


@dataclass(frozen=True)
class DoorTrial:
    """One trial; the process that runs it keeps policy and world for the next one.

    Attributes:
        policy: where it is.
        scene: what is simulated.
        trial: number in its scene.
        seed: of the world's reset.
        rollout, robot, stop_at: see `run_trial`.
        recordings: folder for CABINET-NUMBER.mcap; None: nothing is recorded.
    """

    policy: PolicySource
    scene: SceneConfig
    trial: int
    seed: int
    rollout: RolloutConfig | None = None
    robot: RobotConfig | None = None
    stop_at: StopAt = StopAt.FULLY_OPENED
    recordings: Path | None = None

    def run(self) -> TrialResult:
        """Do it in this process."""
        policy, world = opened_policy(self.policy), _worlds.of(self.scene)
        world.reset(self.seed)
        if self.recordings is None:
            return run_trial(policy, world, self.trial, self.rollout, self.robot, self.stop_at)
        path = self.recordings / f"{self.scene.cabinet.name}-{self.trial:03d}.mcap"
        directory = self.policy.directory
        return record_trial(
            policy, world, path, directory, self.trial, self.stop_at, self.rollout, self.robot
        )


_worlds = Kept(DoorWorld, DoorWorld.close, capacity=3)
"""As many as there are cabinets: every row of a table has trials on all of them."""


def door_trials(
    policy: PolicySource,
    scenes: Sequence[SceneConfig],
    trials_per_scene: int,
    seed: int,
    rollout: RolloutConfig | None = None,
    robot: RobotConfig | None = None,
    stop_at: StopAt = StopAt.FULLY_OPENED,
    recordings: Path | None = None,
) -> list[DoorTrial]:
    """The trials of `vinn.evaluation.trials.run_trials`, one scene after the other.

    Raises:
        ConfigError: no scene, or a number of trials out of range.
    """
    check_trials(len(scenes), trials_per_scene)
    return [
        DoorTrial(
            policy,
            scene,
            trial,
            trial_seed(seed, index, trial),
            rollout,
            robot,
            stop_at,
            recordings,
        )
        for index, scene in enumerate(scenes)
        for trial in range(trials_per_scene)
    ]
