"""A policy opens a door in simulation, without ROS: python examples/03_closed_loop.py POLICY"""

import sys
from pathlib import Path

from vinn.evaluation.trials import run_trials
from vinn.policies.artefact import load_policy
from vinn.rollout.config import RolloutConfig
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import difficulty_named
from vinn.sim.scene import SceneConfig

policy = load_policy(Path(sys.argv[1]))
scene = SceneConfig(cabinet=CABINETS["white"], difficulty=difficulty_named("easy"))
limits = RolloutConfig(max_steps=30)
for trial in run_trials(policy, [scene], trials_per_scene=1, seed=0, rollout=limits):
    opened = "opened" if trial.opened else f"not opened ({trial.failure.value})"
    print(f"trial {trial.trial}: {opened} after {trial.steps} steps, {trial.reason.value}")
