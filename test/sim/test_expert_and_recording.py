"""The expert opens doors with nothing but what a demonstration can say, and is stored as one."""

import numpy as np
import pytest
from typer.testing import CliRunner
from vinn.cli.sim import app
from vinn.demos.store import Dataset, read_demonstration, validate_dataset
from vinn.demos.types import ActionScale, GripperState
from vinn.errors import ConfigError, DatasetError
from vinn.robot.config import StartPose
from vinn.robot.types import ReasonCode
from vinn.sim import recording
from vinn.sim.cabinets import CABINETS, sample_cabinet
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.episode import ExpertEpisode, run_expert
from vinn.sim.recording import record_demonstrations
from vinn.sim.scene import Occlusion, SceneConfig
from vinn.sim.world import DoorWorld

pytestmark = pytest.mark.physics

EASY, HARD = DIFFICULTIES["easy"], DIFFICULTIES["hard"]


def opened(scene: SceneConfig, seeds: range) -> list[bool]:
    with DoorWorld(scene) as world:
        return [run_expert(world, seed).success for seed in seeds]


@pytest.mark.parametrize("difficulty", [EASY, HARD], ids=lambda d: d.name)
@pytest.mark.parametrize("cabinet", CABINETS)
def test_expert_opens_every_cabinet(cabinet, difficulty):
    scene = SceneConfig(cabinet=CABINETS[cabinet], difficulty=difficulty)
    assert all(opened(scene, range(100, 104)))


@pytest.mark.parametrize("seed", range(3))
def test_expert_opens_unseen_cabinets(seed):
    assert all(opened(SceneConfig(cabinet=sample_cabinet(seed)), range(2)))


def test_expert_opens_with_everything_covered():
    assert all(opened(SceneConfig(occlusion=Occlusion.SIGNS_HANDLE_BOTH_BINS), range(2)))


def test_expert_opens_with_the_wrist_held_as_on_the_original_robot():
    pose = StartPose(lift_m=0.6, arm_m=0.2, wrist_yaw_rad=1.53)
    assert all(opened(SceneConfig(start_pose=pose), range(2)))


@pytest.mark.parametrize("difficulty", [EASY, HARD], ids=lambda d: d.name)
def test_demonstrations_keep_to_their_language(difficulty):
    with DoorWorld(SceneConfig(difficulty=difficulty)) as world:
        episode = run_expert(world, 5)
    lengths = np.linalg.norm(episode.camera_delta_m, axis=1)
    states = episode.gripper.tolist()
    assert len(episode.frames_rgb) == len(states) == len(lengths)
    # The disturbance of a hard expert adds to its step.
    assert lengths.max() <= difficulty.expert_step_m[1] + 4 * difficulty.expert_noise_m + 1e-6
    assert states == sorted(states)
    assert set(states) == {int(state) for state in GripperState}
    closing = states.index(GripperState.ALMOST_CLOSED)
    still = np.flatnonzero(lengths == 0.0).tolist()
    assert still == [closing, closing + 1]


def test_the_actions_are_the_motions_of_the_camera():
    with DoorWorld(SceneConfig()) as world:
        positions = []

        def note(moved: DoorWorld) -> None:
            positions.append(np.array(moved.data.cam("wrist_camera").xpos))

        world.reset(2)
        note(world)
        rotation = world.world_R_camera
        episode = run_expert(world, 2, on_step=note)
    moved = np.diff(positions, axis=0) @ rotation
    approach = episode.gripper < GripperState.ALMOST_CLOSED
    np.testing.assert_allclose(
        moved[approach], episode.camera_delta_m[approach], atol=0.009
    )  # the arrival tolerance of the driver


def test_expert_varies_so_that_time_tells_little():
    with DoorWorld(SceneConfig()) as world:
        episodes = [run_expert(world, seed) for seed in range(6)]
    closing = {episode.gripper.tolist().index(GripperState.ALMOST_CLOSED) for episode in episodes}
    assert len(closing) >= 3


def test_record_writes_a_valid_dataset_that_its_seed_repeats(tmp_path):
    seen = []
    for name in ("first", "again"):
        discarded = record_demonstrations(
            tmp_path / name, ["oak", "white"], 2, "easy", 7, lambda *p: seen.append(p)
        )
        assert discarded == 0
    assert seen[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert validate_dataset(tmp_path / "first").ok
    first, again = Dataset.open(tmp_path / "first"), Dataset.open(tmp_path / "again")
    assert first.hash == again.hash
    assert first.action_scale is ActionScale.METRIC
    assert len(first) == 4
    provenance = first.demonstrations[0].meta.provenance
    assert provenance["cabinet"] == "oak"
    assert provenance["seed"] == 7
    assert provenance["difficulty"] == "easy"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cabinets": ["pine"]}, "pine"),
        ({"cabinets": []}, "cabinets"),
        ({"cabinets": ["oak", "oak"]}, "once"),
        ({"count": 0}, "demos = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"difficulty": "medium"}, "medium"),
    ],
)
def test_bad_orders_are_refused_and_leave_nothing(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        record_demonstrations(tmp_path / "out", **changes)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="exists"):
        record_demonstrations(tmp_path, ["oak"], 1)


def test_failed_episodes_are_discarded_and_counted(tmp_path, monkeypatch):
    outcomes = iter([False, True, False, True])

    def run(world: DoorWorld, seed: int) -> ExpertEpisode:
        world.reset(seed)
        return ExpertEpisode(
            frames_rgb=(world.wrist_image(),),
            camera_delta_m=np.zeros((1, 3), np.float32),
            gripper=np.zeros(1, np.int8),
            success=next(outcomes),
            reason=ReasonCode.STEP_LIMIT,
        )

    monkeypatch.setattr(recording, "run_expert", run)
    assert record_demonstrations(tmp_path / "out", ["oak"], 2) == 2
    names = [demo.meta.name for demo in Dataset.open(tmp_path / "out").demonstrations]
    assert names == ["oak-000001", "oak-000003"]

    outcomes = iter([False] * recording.MAX_FAILURES_IN_A_ROW)
    with pytest.raises(DatasetError, match="expert failed"):
        record_demonstrations(tmp_path / "none", ["oak"], 2)
    assert not (tmp_path / "none").exists()


def test_command_line_records_and_plays(tmp_path):
    runner = CliRunner()
    order = ["record", "--out", str(tmp_path / "demos"), "--demos", "1", "--cabinets", "walnut"]
    result = runner.invoke(app, order)
    assert result.exit_code == 0, result.output
    demo = tmp_path / "demos" / "walnut-000000"
    assert len(read_demonstration(demo)) > 10
    for arguments in (["--demo", str(demo)], ["--cabinet", "walnut"]):
        video = tmp_path / f"{arguments[0].strip('-')}.mp4"
        result = runner.invoke(app, ["play", "--out", str(video), *arguments])
        assert result.exit_code == 0, result.output
        assert video.stat().st_size > 10_000
