"""What ten corrections are worth: an operator takes over where the policy goes astray.

    python -m measure.corrections --encoder ENCODER --work runs/corrections

A policy of demonstrations of two cabinets meets a third one. In rollouts of their own the scripted
expert stands for the operator: it watches, takes over when the policy is about to close beside the
handle or has not got there in `PATIENCE` steps, and drives on until the door is open. What it drove
is added to the policy as `vinn demos add --driven-only` does. Trials that neither has seen are run
before and after, the same ones. Beside it stand as many demonstrations of the third cabinet from
the start, driven alone. Adds its rows to robustness.json. Run again to resume.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import numpy as np
from numpy.typing import NDArray
from vinn.cli.console import progress_bar
from vinn.demos.files import atomic_directory, atomic_path
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import SuccessRate, paired_difference
from vinn.evaluation.trials import StopAt, TrialResult, run_trial, run_trials, trial_seed
from vinn.policies.artefact import load_policy
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.preset import load_preset
from vinn.policies.types import Policy, Prediction, TakenStep
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.expert import DoorExpert
from vinn.sim.recording import demonstration_meta, record_demonstrations
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

KNOWN, NEW = ("oak", "white"), "walnut"
SCENE = SceneConfig(cabinet=CABINETS[NEW], difficulty=DIFFICULTIES["hard"])
TEST_SEED, CORRECTION_SEED, DEMONSTRATION_SEED = 0, 1, 5000
PATIENCE = 20
"""Steps without the handle between the fingers after which the operator takes over."""
BESIDE_M = 0.03
"""Farther from the handle than this a closing gripper would miss it."""
CLOSING = 1.5
"""Mean gripper state from which the gripper closes: between almost open and almost closed."""
STATES = 4
MOST_ROLLOUTS = 60
"""For the corrections: the policy may go right, and the operator may fail, too."""


class WatchedPolicy:
    """A policy whose rollout somebody watches, ready to take over (`Policy`)."""

    def __init__(self, policy: Policy, world: DoorWorld, seed: int) -> None:
        self._policy, self._world = policy, world
        self._operator = DoorExpert(world, seed)
        self._steps = 0
        self.taken_over = False
        self.frames: list[NDArray[np.uint8]] = []
        self.camera_delta_m: list[NDArray[np.float64]] = []
        self.gripper: list[int] = []

    @property
    def action_scale(self) -> ActionScale:
        """See `Policy.action_scale`."""
        return self._policy.action_scale

    def reset(self) -> None:
        """See `Policy.reset`."""
        self._policy.reset()

    def predict(self, image_rgb: NDArray[np.uint8]) -> Prediction:
        """The policy's, or after taking over the operator's."""
        self._steps += 1
        if not self.taken_over:
            prediction = self._policy.predict(image_rgb)
            if not self._astray(prediction):
                return prediction
            self.taken_over = True
        wanted = self._operator.next_step()
        assert wanted is not None, "the trial ends when the door is open"
        self.frames.append(image_rgb)
        self.camera_delta_m.append(wanted.camera_delta_m)
        self.gripper.append(int(wanted.gripper))
        state = float(wanted.gripper)
        return Prediction(
            wanted.camera_delta_m, state, np.eye(STATES)[int(wanted.gripper)], ActionScale.METRIC
        )

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        """See `Policy.advance`; what was driven is not the policy's."""
        if not self.taken_over:
            self._policy.advance(prediction, step)

    def _astray(self, prediction: Prediction) -> bool:
        world = self._world
        if world.grasped:
            return False
        beside = float(np.linalg.norm(world.handle_m - world.grasp_center_m)) > BESIDE_M
        return beside and (prediction.gripper_value > CLOSING or self._steps > PATIENCE)


def correct(policy: Policy, out_dir: Path, count: int, told: Callable[[int, int], None]) -> None:
    """Write `count` corrections: the driven steps of rollouts that ended with an open door."""
    corrected = rollouts = 0
    with atomic_directory(out_dir) as folder, DoorWorld(SCENE) as world:
        while corrected < count:
            if rollouts == MOST_ROLLOUTS:
                raise SystemExit(f"{corrected} corrections in {rollouts} rollouts; {count} asked")
            world.reset(trial_seed(CORRECTION_SEED, 0, rollouts))
            watched = WatchedPolicy(policy, world, rollouts)
            result = run_trial(watched, world, rollouts)
            rollouts += 1
            if not (watched.taken_over and result.opened):
                continue
            meta = demonstration_meta(SCENE, result.seed)
            meta = meta.model_copy(update={"name": f"correction-{corrected:02d}"})
            write_demonstration(
                folder, meta, watched.frames, np.array(watched.camera_delta_m), watched.gripper
            )
            corrected += 1
            told(corrected, count)


def measure(given: argparse.Namespace) -> dict[str, list[bool]]:
    """Doors opened by the policy before, with corrections, and with demonstrations instead."""
    work: Path = given.work
    base, corrections, shown = (work / name for name in ("base", "corrections", "shown"))
    policies = {name: work / f"policy-{name}" for name in ("before", "corrections", "shown")}
    with progress_bar("recording") as told:
        if not base.exists():
            record_demonstrations(base, KNOWN, given.demonstrations, "hard", 0, told)
        if not shown.exists():
            record_demonstrations(
                shown, (NEW,), given.corrections, "hard", DEMONSTRATION_SEED, told
            )
    if not policies["before"].exists():
        preset = load_preset(given.preset)
        build_from_preset(Dataset.open(base), given.encoder, policies["before"], preset)
    with progress_bar("correcting") as told:
        if not corrections.exists():
            correct(load_policy(policies["before"]), corrections, given.corrections, told)
    for name, added in (("corrections", corrections), ("shown", shown)):
        if not policies[name].exists():
            extend_policy(policies["before"], Dataset.open(added), policies[name])
    return {name: tried(policy, given.trials) for name, policy in policies.items()}


def tried(policy: Path, trials: int) -> list[bool]:
    """Whether each trial opened the door; kept beside the policy."""
    kept = policy.with_name(f"{policy.name}-{trials}.json")
    if not kept.exists():
        with progress_bar(policy.name) as told:
            opened: list[bool] = []

            def on_trial(result: TrialResult) -> None:
                told(len(opened) + 1, trials)
                opened.append(result.opened)

            run_trials(
                load_policy(policy),
                [SCENE],
                trials,
                TEST_SEED,
                stop_at=StopAt.OPENED,
                on_trial=on_trial,
            )
        with atomic_path(kept) as path:
            path.write_text(json.dumps(opened), encoding="utf-8")
    return [bool(value) for value in json.loads(kept.read_text(encoding="utf-8"))]


def main() -> None:
    """Record, build, correct, add, try."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", type=Path, required=True, help="exported encoder")
    parser.add_argument("--preset", default="vinn-plus", help="of the policy before")
    parser.add_argument("--demonstrations", type=int, default=20, help="of each known cabinet")
    parser.add_argument("--corrections", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path("runs/corrections"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure(given)
    results = Results.continued(given.out, "robustness", "python -m measure.corrections")
    prefix = f"corrections, {given.preset}, a cabinet never shown, hard"
    names = {
        "before": "before",
        "corrections": f"after {given.corrections} corrections",
        "shown": f"after {given.corrections} demonstrations instead",
    }
    for name, opened in found.items():
        rate = SuccessRate.of(opened)
        results.add(
            f"{prefix}: doors opened {names[name]}",
            rate.successes,
            f"of {rate.trials}, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f} %",
        )
    gain = paired_difference(found["corrections"], found["before"])
    results.add(
        f"{prefix}: gain of {given.corrections} corrections",
        round(100 * gain.difference, 1),
        f"points, 95 % {100 * gain.low:+.0f} to {100 * gain.high:+.0f}, {gain.only_first} against "
        f"{gain.only_second} of {gain.trials}",
        "> 0",
    )
    results.write(given.out)


if __name__ == "__main__":
    main()
