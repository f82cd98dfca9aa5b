"""Seeds, noise, occlusion, and the ground truth of the world."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from vinn.errors import ConfigError
from vinn.robot.types import JointCommand
from vinn.sim.cabinets import CABINETS, CabinetParameters, cabinet_named, sample_cabinet
from vinn.sim.camera_sensor import CameraSensor
from vinn.sim.difficulty import DIFFICULTIES, difficulty_named
from vinn.sim.driver import SimulatedStretch
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.scene_model import FRONT_GEOMS
from vinn.sim.world import DoorWorld

pytestmark = pytest.mark.physics

HARD = DIFFICULTIES["hard"]
FROZEN_DRAWS = (
    *(0.110872, -0.019628, 0.008167),
    *(0.450750, 0.392365, 0.474578, 0.365892, 0.346543, 0.358515),
    *(0.010773, 0.006733, 0.984716, 0.173705),
    *(0.559933, 0.493027, 0.726136),
    *(0.092844, -0.003, -0.152164),
)
"""Start, lights, camera, a front's paint and a picture's place of seed 700 000."""


@pytest.fixture(scope="module")
def world():
    with DoorWorld(SceneConfig()) as shared:
        yield shared


def test_the_same_seed_gives_the_same_world():
    with DoorWorld(SceneConfig(difficulty=HARD)) as world:
        world.reset(3)
        first, start = world.wrist_image(), world.grasp_center_m
        world.reset(4)
        other, elsewhere = world.wrist_image(), world.grasp_center_m
        world.reset(3)
        again, back = world.wrist_image(), world.grasp_center_m
    with DoorWorld(SceneConfig(difficulty=HARD), seed=3) as world:
        elsewhere_built = world.wrist_image()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, elsewhere_built)
    np.testing.assert_array_equal(start, back)
    assert np.abs(start - elsewhere).max() > 1e-3
    assert (first != other).mean() > 0.5


def test_hard_is_frozen():
    """Tables made with it are only comparable while these stay."""
    assert HARD.model_dump() == {
        "name": "hard",
        "start_right_m": 0.12,
        "start_forward_m": 0.05,
        "start_up_m": 0.09,
        "handle_length_factor": 0.5,
        "gripper_aperture_m": 0.05,
        "latch_nm": (0.5, 2.0),
        "light_jitter": 0.5,
        "color_jitter": 0.2,
        "camera_jitter_m": 0.006,
        "camera_jitter_rad": 0.04,
        "exposure_stops": 0.7,
        "white_balance": 0.15,
        "distractors": 8,
        "varied_background": True,
        "pixel_noise": 4.0,
        "expert_step_m": (0.018, 0.032),
        "expert_noise_m": 0.006,
    }
    with DoorWorld(SceneConfig(difficulty=HARD)) as world:
        world.reset(700_000)
        drawn = np.concatenate(
            [
                HARD.start_offset(700_000),
                world.model.light_diffuse.ravel(),
                world.model.cam_quat[world.model.camera("wrist_camera").id],
                world.model.geom("front_left").rgba[:3],
                world.model.geom("distractor_0").pos,
            ]
        )
    np.testing.assert_allclose(drawn, FROZEN_DRAWS, atol=2e-6)


def test_a_covered_handle_has_the_doors_colour_and_nothing_else_of_the_seed_changes():
    def scenery(occlusion):
        with DoorWorld(SceneConfig(difficulty=HARD, occlusion=occlusion)) as world:
            world.reset(5)
            model = world.model
            names = ("handle_bar", "door", "wall", *FRONT_GEOMS, "distractor_3")
            return {
                name: (model.geom(name).rgba.copy(), model.geom(name).pos.copy()) for name in names
            }

    seen, covered = scenery(Occlusion.NONE), scenery(Occlusion.SIGNS_HANDLE_BOTH_BINS)
    tint = covered["door"][0][:3]
    np.testing.assert_allclose(
        covered["handle_bar"][0][:3], CABINETS["oak"].door.rgb * tint, atol=1e-6
    )
    assert np.abs(seen["handle_bar"][0] - covered["handle_bar"][0]).max() > 0.1
    for name in seen:
        np.testing.assert_array_equal(seen[name][1], covered[name][1])
        if name != "handle_bar":
            np.testing.assert_array_equal(seen[name][0], covered[name][0])


def test_the_robot_keeps_its_colours_and_the_scenery_does_not():
    with DoorWorld(SceneConfig(difficulty=HARD)) as world:
        before = world.model.geom_rgba.copy()
        world.reset(9)
        changed = np.any(world.model.geom_rgba != before, axis=1)
        roots = world.model.body_rootid[world.model.geom_bodyid]
        robot = roots == world.model.body("base_link").id
        assert robot.sum() > 10
        assert not changed[robot].any()
        assert changed[world.model.geom("door").id]


def test_a_camera_off_its_exposure_scales_its_channels():
    grey = np.full((20, 30, 3), 60, np.uint8)
    bright = HARD.model_copy(update={"pixel_noise": 0.01})
    sensor = CameraSensor(30, 20, bright)
    gains = []
    for seed in range(40):
        sensor.reset(seed)
        gains.append(sensor.expose(grey).reshape(-1, 3).mean(axis=0) / 60)
    gains = np.array(gains)
    # Green is exposure alone: 2^-0.7 to 2^0.7; red and blue are off by 15 % at most beside it.
    assert 0.6 < gains[:, 1].min() < 0.75
    assert 1.35 < gains[:, 1].max() < 1.65
    for channel in (0, 2):
        ratio = gains[:, channel] / gains[:, 1]
        assert 0.82 < ratio.min() < 0.9
        assert 1.1 < ratio.max() < 1.18
    np.testing.assert_array_equal(
        CameraSensor(30, 20, DIFFICULTIES["easy"].model_copy(update={"pixel_noise": 0.01})).expose(
            grey
        ),
        grey,
    )


def test_no_two_frames_are_alike_though_nothing_moves(world):
    world.reset(0)
    frames = [world.wrist_image() for _ in range(20)]
    assert len({frame.tobytes() for frame in frames}) == len(frames)
    spread = np.stack(frames).astype(float).std(axis=0).mean()
    assert spread == pytest.approx(world.scene.difficulty.pixel_noise, rel=0.4)


def test_images_have_the_configured_form(world):
    camera = world.scene.camera
    image = world.wrist_image()
    assert image.shape == (camera.height_px, camera.width_px, 3)
    assert image.dtype == np.uint8
    assert world.overview_image().std() > 10


@pytest.mark.parametrize("cabinet", CABINETS)
def test_each_occlusion_covers_more_of_the_view(cabinet):
    images = {}
    for occlusion in Occlusion:
        with DoorWorld(SceneConfig(cabinet=CABINETS[cabinet], occlusion=occlusion)) as world:
            world.reset(0, np.zeros(3))
            images[occlusion] = world.overview_image(320, 240).astype(int)
    levels = list(images.values())
    for less, more in itertools.pairwise(levels):
        assert (np.abs(less - more).sum(axis=-1) > 40).sum() > 50


@pytest.mark.parametrize("name", DIFFICULTIES)
def test_starts_stay_in_their_range_and_fill_it(name):
    difficulty = difficulty_named(name)
    half = np.array([difficulty.start_right_m, difficulty.start_forward_m, difficulty.start_up_m])
    offsets = np.array([difficulty.start_offset(seed) for seed in range(300)])
    assert (np.abs(offsets) <= half).all()
    assert (np.abs(offsets).max(axis=0) >= 0.9 * half).all()
    np.testing.assert_allclose(offsets.mean(axis=0), 0.0, atol=0.01)


def test_a_gripper_that_never_closes_leaves_the_door_shut(world):
    """The whole motion of an opening, with the fingers open around the handle."""
    world.reset(0, np.zeros(3))
    robot = SimulatedStretch(world)
    start = robot.state()
    for arm_m in (start.arm_m + 0.16, start.arm_m - 0.1):
        robot.send(JointCommand(start.lift_m, arm_m, 0.0, 0.0, 0.0, 0.064))
        robot.wait(3.0)
    assert robot.state().arm_m == pytest.approx(start.arm_m - 0.1, abs=0.01)
    assert world.door_angle_rad == pytest.approx(0.0, abs=0.01)
    assert not (world.grasped or world.opened or world.fully_opened)


def test_closing_beside_the_handle_is_no_grasp(world):
    world.reset(0, np.zeros(3))
    robot = SimulatedStretch(world)
    start = robot.state()
    robot.send(JointCommand(start.lift_m, start.arm_m, 0.0, 0.0, 0.0, -0.032))
    robot.wait(1.5)
    assert not world.grasped
    assert robot.state().gripper_aperture_m == pytest.approx(0.0, abs=0.004)


def test_grasped_stays_true_until_the_reset(world):
    world.reset(0, np.zeros(3))
    robot = SimulatedStretch(world)
    start = robot.state()
    for aperture_m, arm_m in ((0.064, 0.16), (-0.032, 0.16), (0.064, 0.16)):
        robot.send(JointCommand(start.lift_m, start.arm_m + arm_m, 0.0, 0.0, 0.0, aperture_m))
        robot.wait(2.0)
    assert world.grasped
    assert not world.grasping
    world.reset(0)
    assert not world.grasped


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_door_opens_towards_the_robot(side):
    cabinet = CABINETS["oak"].model_copy(update={"hinge_side": side})
    with DoorWorld(SceneConfig(cabinet=cabinet)) as world:
        world.reset(0, np.zeros(3))
        closed, half_open = world.handle_at(0.0), world.handle_at(0.5)
        np.testing.assert_allclose(closed, world.handle_m, atol=1e-9)
    axes = SceneConfig(cabinet=cabinet).world_T_cabinet()[:3, :3]
    right, forward, up = axes.T @ (half_open - closed)
    assert forward < -0.1
    assert right < 0 if side == "left" else right > 0
    assert up == pytest.approx(0.0, abs=1e-9)


def test_unseen_cabinets_come_from_their_seed():
    sampled = [sample_cabinet(seed) for seed in range(40)]
    assert sample_cabinet(7) == sampled[7] == cabinet_named("sampled-7")
    assert len({cabinet.door.rgb for cabinet in sampled}) == len(sampled)
    assert {cabinet.hinge_side for cabinet in sampled} == {"left", "right"}
    for cabinet in sampled:
        CabinetParameters.model_validate(cabinet.model_dump())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cabinet_named("pine"), "pine.*oak"),
        (lambda: difficulty_named("medium"), "medium.*easy"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_bad_settings_are_refused(world):
    with pytest.raises(ValidationError):
        SceneConfig(cabinets=CABINETS["oak"])
    with pytest.raises(ConfigError, match="seed"):
        world.reset(-1)
    with pytest.raises(ConfigError, match="offset"):
        world.reset(0, np.array([0.0, np.nan, 0.0]))
    with pytest.raises(ConfigError, match="seconds"):
        world.step(float("nan"))


def test_the_parameters_of_scenes_need_no_physics():
    code = "import vinn.sim.cabinets, vinn.sim.difficulty, sys; sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
