"""Measure kinematics, the motion filter and the drivers; writes docs/results/robot.json.

    python -m measure.robot [--actions 100000] [--out docs/results]

Random and adversarial actions are judged anew, one by one (`measure.robot.random_actions`); inverse
kinematics is held against forward kinematics and timed; the comparison of the two command paths is
that of test/ros/executor/test_same_targets.py. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from vinn.errors import ConfigError
from vinn.evaluation.results import Results
from vinn.robot.config import MotionConfig, RobotConfig, load_robot_config
from vinn.robot.ik import PoseSolution, pose_ik
from vinn.robot.kinematics import base_T_gripper
from vinn.robot.motion_filter import MotionFilter
from vinn.robot.types import RobotState, StepRequest

from measure.robot.random_actions import AnyActionReport, check_any_action, random_state

ROOT = Path(__file__).parents[2]
ROBOT = load_robot_config(ROOT / "config" / "robot" / "stretch.yaml")
SETTINGS = {
    "the robot's settings": (ROBOT, 0.4),
    "the simulation's settings": (RobotConfig(), 0.3),
    "the wrist moving": (RobotConfig(motion=MotionConfig(wrist="move")), 0.3),
}
"""What is checked, and which part of the actions it gets."""
POSES = 20_000
TIMED = 5_000


def say(text: str) -> None:
    """Progress, on one line of the terminal."""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """See the module's head."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--actions", type=int, default=100_000, help="random actions [100000]")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="directory")
    arguments = parser.parse_args()
    results = Results("robot", "python -m measure.robot")
    add_kinematics(results)
    add_timing(results)
    add_same_targets(results)
    add_actions(results, arguments.actions)
    say("")
    print(results.write(arguments.out))


def add_kinematics(results: Results) -> None:
    """FK(IK(x)) over poses all over the joints' ranges, straight up and down included."""
    say("FK(IK(x)) ...")
    rng = np.random.default_rng(0)
    position_m = rotation = 0.0
    for _ in range(POSES):
        state = random_state(rng, ROBOT)
        target = pose_of(state)
        target[0, 3] += rng.uniform(-0.5, 0.5)
        solution = pose_ik(target, ROBOT.tool.geometry, state.wrist_yaw_rad)
        reached = pose_of(solution)
        reached[0, 3] += solution.base_translate_m
        position_m = max(position_m, float(np.linalg.norm(reached[:3, 3] - target[:3, 3])))
        rotation = max(rotation, float(np.abs(reached[:3, :3] - target[:3, :3]).max()))
    results.add("poses through IK and back", POSES)
    results.add("FK(IK(x)), largest distance", position_m * 1000, "mm", goal="<= 0.1")
    results.add("FK(IK(x)), largest difference of a rotation's element", rotation, "")


def pose_of(joints: RobotState | PoseSolution) -> NDArray[np.float64]:
    """(4, 4) pose of the gripper."""
    return base_T_gripper(
        joints.lift_m,
        joints.arm_m,
        joints.wrist_yaw_rad,
        joints.wrist_pitch_rad,
        joints.wrist_roll_rad,
        ROBOT.tool.geometry,
    )


def add_timing(results: Results) -> None:
    """One step's inverse kinematics, and one step through the whole motion filter."""
    say("timing ...")
    rng = np.random.default_rng(1)
    states = [random_state(rng, ROBOT) for _ in range(100)]
    poses = [pose_of(state) for state in states]
    geometry = ROBOT.tool.geometry

    def inverse(i: int) -> None:
        pose_ik(poses[i % 100], geometry, states[i % 100].wrist_yaw_rad)

    config = RobotConfig(motion=MotionConfig(wrist="move"))
    motion_filter = MotionFilter(config, config.tool.limits.joint_limits())
    request = StepRequest(
        session="s",
        sequence=1,
        camera_delta=np.array([0.01, 0.0, 0.03]),
        gripper_value=0.0,
        gripper_probabilities=np.array([1.0, 0.0, 0.0, 0.0]),
        camera_rotation_rad=np.array([0.0, 0.05, 0.0]),
    )

    def whole(i: int) -> None:
        motion_filter.filter(request, states[i % 100])

    for name, call, goal in (
        ("inverse kinematics of one step (six degrees of freedom)", inverse, "< 0.2"),
        ("motion filter, one step (collision along the way included)", whole, None),
    ):
        times_ms = timed_ms(call)
        results.add(f"{name}, median", float(np.median(times_ms)), "ms", goal=goal)
        results.add(f"{name}, 99th percentile", float(np.percentile(times_ms, 99)), "ms")


def timed_ms(call: Callable[[int], None]) -> NDArray[np.float64]:
    """(TIMED,) durations."""
    durations = np.empty(TIMED)
    for i in range(TIMED):
        start_s = time.perf_counter()
        call(i)
        durations[i] = time.perf_counter() - start_s
    return durations * 1000


def add_same_targets(results: Results) -> None:
    """The same rollout through streaming (simulation) and through trajectory goals (fake driver).

    Raises:
        ConfigError: the test did not run.
    """
    say("one rollout over both command paths ...")
    test = ROOT / "test" / "ros" / "executor" / "test_same_targets.py"
    output = subprocess.run(
        [sys.executable, "-m", "pytest", str(test), "-q", "-s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.search(r"MEASURED steps=(\d+) largest_difference=([0-9.]+)", output)
    if found is None:
        raise ConfigError(f"{test}: measured nothing; its last line: {output.splitlines()[-1:]}")
    results.add("steps of a rollout sent over both command paths", int(found[1]))
    results.add(
        "largest difference of a joint target between them",
        float(found[2]) * 1000,
        "mm or mrad",
        goal="<= 1",
    )


def add_actions(results: Results, count: int) -> None:
    """Random and adversarial actions, every command judged."""
    total = AnyActionReport()
    for name, (config, part) in SETTINGS.items():
        share = round(count * part)

        def progress(done: int, name: str = name, share: int = share) -> None:
            say(f"actions, {name}: {done} of {share}")

        report = check_any_action(config, share, seed=13, on_progress=progress)
        results.add(f"actions asked, {name}", report.asked)
        results.add(f"of these sent, {name}", report.sent)
        total.violations += report.violations
        total.refused += report.refused
        total.asked += report.asked
        total.sent += report.sent
    results.add("random and adversarial actions", total.asked, "", goal=">= 100000")
    for reason, times in sorted(total.refused.items()):
        results.add(f"refused as {reason}", times)
    results.add("commands that were not finite", total.violations["not finite"], "", goal="== 0")
    for name, words in {
        "commands outside limits minus margin": ("outside",),
        "commands farther than a step (joints, base, grasp centre)": ("farther",),
        "commands out of the workspace": ("workspace",),
        "commands into base, mast, lift, arm or floor": ("into",),
    }.items():
        results.add(name, of_kind(total.violations, words), "", goal="== 0")


def of_kind(violations: Counter[str], words: tuple[str, ...]) -> int:
    """How many violations bear one of the words."""
    return sum(times for what, times in violations.items() if any(word in what for word in words))


if __name__ == "__main__":
    main()
