"""Doors and Meta-World by two processes at a time: every trial as one process does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blobs import write_blobs
from vinn.evaluation.door_trials import door_trials
from vinn.evaluation.policy_source import PolicySource
from vinn.evaluation.trial_pool import TrialPool
from vinn.evaluation.trials import StopAt, as_json, run_trial, trial_seed
from vinn.paper.tasks.trials import task_trials
from vinn.policies.artefact import load_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.kinds.random import KIND as RANDOM
from vinn.rollout.config import RolloutConfig
from vinn.rollout.reader import read_recording
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import difficulty_named
from vinn.sim.episode import robot_config
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld
from vinn.tasks.registry import task_settings

pytestmark = [
    pytest.mark.physics,
    pytest.mark.slow,
    pytest.mark.crosses_processes(reason="two processes simulate at a time"),
]

SCENES = [
    SceneConfig(cabinet=CABINETS[name], difficulty=difficulty_named("hard"))
    for name in ("oak", "white")
]
LIMITS = RolloutConfig(max_steps=4)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[PolicySource]:
    """One that draws numbers, and one that does not look."""
    root = tmp_path_factory.mktemp("policies")
    demos = write_blobs(root / "demos", 3, 0)
    return [
        PolicySource(RANDOM.build(BuildRequest(demos, root / "random", seed=2))),
        PolicySource(OPEN_LOOP.build(BuildRequest(demos, root / "open-loop"))),
    ]


def test_doors(policies: list[PolicySource]) -> None:
    jobs = []
    for policy in policies:
        scale = load_policy(policy.directory).action_scale
        robot = robot_config(SCENES[0])
        motion = robot.motion.model_copy(update={"action_scale": scale, "scale": (0.03,) * 3})
        robot = robot.model_copy(update={"motion": motion})
        jobs += door_trials(policy, SCENES, 3, 5, LIMITS, robot, StopAt.OPENED)
    with TrialPool(1) as one, TrialPool(2) as two:
        alone, together = list(one.run(jobs)), list(two.run(jobs))
    assert [as_json(each) for each in together] == [as_json(each) for each in alone]
    # A trial does not depend on those before it: the last one first, in a world of its own.
    last = jobs[5]
    with DoorWorld(last.scene) as world:
        world.reset(last.seed)
        again = run_trial(
            load_policy(policies[0].directory), world, 2, LIMITS, last.robot, StopAt.OPENED
        )
    assert as_json(again) == as_json(alone[5])
    assert len({(each.angle_rad, each.reason) for each in alone[:3]}) > 1


def test_pictures_are_the_same_however_many_threads_render(tmp_path: Path) -> None:
    """What a policy sees, to the last bit: recorded by either, the pictures are equal."""
    demos = write_blobs(tmp_path / "demos", 3, 0)
    source = PolicySource(RANDOM.build(BuildRequest(demos, tmp_path / "random", seed=1)))
    scale = load_policy(source.directory).action_scale
    robot = robot_config(SCENES[0])
    motion = robot.motion.model_copy(update={"action_scale": scale, "scale": (0.03,) * 3})
    robot = robot.model_copy(update={"motion": motion})
    kept = {}
    for processes in (1, 2):
        folder = tmp_path / f"by-{processes}"
        folder.mkdir()
        jobs = door_trials(source, SCENES, 3, 5, LIMITS, robot, recordings=folder)
        with TrialPool(processes) as pool:
            list(pool.run(jobs))
        kept[processes] = {path.name: pictures(path) for path in sorted(folder.glob("*.mcap"))}
    assert len(kept[1]) == 6
    assert kept[1] == kept[2]


def pictures(path: Path) -> list[bytes]:
    """Contents of the recorded images, of the wrist camera and from beside."""
    topics = {f"/{name}_camera/image_raw/compressed" for name in ("wrist", "overview")}
    found = [bytes(recorded.message.data) for recorded in read_recording(path, topics)]
    assert len(found) > len(topics)
    return found


@pytest.mark.parametrize("name", ["reach-v3", "pick-place-v3"])
def test_meta_world(name: str, policies: list[PolicySource]) -> None:
    pytest.importorskip("metaworld")
    settings = task_settings(name, image_px=32)
    jobs = [job for policy in policies for job in task_trials(policy, name, settings, 4, 3, LIMITS)]
    with TrialPool(1) as one, TrialPool(2) as two:
        alone, together = list(one.run(jobs)), list(two.run(jobs))
    assert together == alone
    assert [job.seed for job in jobs[:4]] == [trial_seed(3, 0, trial) for trial in range(4)]
    assert replace(jobs[3]).run() == alone[3]
    assert np.unique([each.seed for each in alone]).size == 4
