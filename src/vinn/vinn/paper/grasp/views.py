"""How well one view tells where the gripper will close, from places beside every demonstrated path.

The robot is put anywhere in a cone before the handle of cabinets that no demonstration shows, and
the policy's belief after that one view is held against the simulator's truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vinn.errors import ConfigError
from vinn.policies.grasp.filter import NO_BELIEF
from vinn.policies.vinn import VinnPolicy
from vinn.robot.kinematics import base_R_gripper, gripper_R_camera
from vinn.sim.cabinets import cabinet_named
from vinn.sim.difficulty import difficulty_named
from vinn.sim.expert import GRASP_DEPTH_M
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld

NEAREST_M, FARTHEST_M = 0.0, 0.2
"""Of the cone, before the handle."""
SIDEWAYS, UPWARDS = (0.02, 0.6, 0.12), (0.02, 0.45, 0.09)
"""Half width at the handle [m], growth per metre before it, greatest half width [m]."""


def off_path_errors(
    policy: VinnPolicy,
    cabinets: Sequence[str],
    views: int,
    seed: int,
    difficulty: str = "hard",
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """(N, 3) believed minus true way to the grasp point [m], camera axes: right, down, forward.

    Args:
        policy: with grasp points, of metric actions.
        cabinets: names; the robot stands before each.
        views: for each cabinet.
        seed: of where it stands.
        difficulty: of the scenes.
        on_progress: called with (views done, views in all).

    Raises:
        ConfigError: the policy has no grasp points.
    """
    grasp = policy.grasp
    if grasp is None:
        raise ConfigError("policy: has no grasp points; allowed: one built with grasp_point")
    errors = []
    for number, name in enumerate(cabinets):
        scene = SceneConfig(cabinet=cabinet_named(name), difficulty=difficulty_named(difficulty))
        start = scene.start_pose
        base_R_camera = base_R_gripper(
            start.wrist_yaw_rad, start.wrist_pitch_rad, start.wrist_roll_rad
        ) @ gripper_R_camera(scene.camera.mount)
        forward = scene.world_T_cabinet()[:3, 1]
        rng = np.random.default_rng([seed, number, 0x0FF])
        with DoorWorld(scene) as world:
            for view in range(views):
                before = rng.uniform(NEAREST_M, FARTHEST_M)
                right, up = (
                    rng.uniform(-1, 1) * min(most, near + growth * before)
                    for near, growth, most in (SIDEWAYS, UPWARDS)
                )
                offset = np.array([right, scene.start_distance_m - before, up])
                world.reset(int(rng.integers(1 << 30)), offset)
                seen = grasp.look(world.wrist_image())
                believed = grasp.filter.estimate(grasp.filter.see(NO_BELIEF, seen, 0))
                way = world.handle_m - world.grasp_center_m + GRASP_DEPTH_M * forward
                errors.append(believed.camera_delta - base_R_camera.T @ way)
                if on_progress is not None:
                    on_progress(number * views + view + 1, len(cabinets) * views)
    return np.array(errors)
