"""A policy with grasp points: built, checked, replayed in mind, and opening doors in physics."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vinn.demos.frames import read_frame
from vinn.demos.hindsight import hindsight
from vinn.demos.store import Dataset
from vinn.errors import ArtefactMismatchError, ConfigError
from vinn.evaluation.offline import predict_dataset
from vinn.evaluation.trials import run_trial, trial_seed
from vinn.paper.grasp.point import CoveredCamera, grasp_point_results, run_grasp_point
from vinn.paper.grasp.views import off_path_errors
from vinn.paper.offline.config import load_tables_config
from vinn.paper.workspace import Workspace
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.artefacts.edit import extend_policy, remove_demonstrations
from vinn.policies.grasp.point import KEY_SIZE
from vinn.policies.kinds.nearest import GRASP_FOLDER
from vinn.policies.preset import load_preset
from vinn.policies.types import demonstrated_step
from vinn.policies.vinn import VinnPolicy
from vinn.robot.types import ReasonCode
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import difficulty_named
from vinn.sim.scene import SceneConfig
from vinn.sim.world import DoorWorld
from vinn.tasks.data import TaskData

TRIALS = 4


@pytest.fixture(scope="module")
def policy_dir(
    door_demonstrations: Path,
    lite0_encoder: Path,
    door_detector: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return build_from_preset(
        Dataset.open(door_demonstrations),
        lite0_encoder,
        tmp_path_factory.mktemp("grasp") / "policy",
        load_preset("grasp-point"),
        detector_dir=door_detector,
    )


def test_it_opens_doors(policy_dir: Path) -> None:
    policy = load_policy(policy_dir)
    scene = SceneConfig(cabinet=CABINETS["oak"], difficulty=difficulty_named("easy"))
    points = []
    with DoorWorld(scene) as world:
        results = []
        for trial in range(TRIALS):
            world.reset(trial_seed(11, 0, trial))
            results.append(
                run_trial(
                    policy,
                    world,
                    trial,
                    on_step=lambda record: points.append(
                        record.prediction and record.prediction.grasp_point
                    ),
                )
            )
    assert sum(result.opened for result in results) >= TRIALS - 1, results
    said = [point for point in points if point is not None]
    assert len(said) >= 3 * TRIALS
    assert all(np.isfinite(point.camera_delta).all() and (point.std > 0).all() for point in said)


def test_with_its_camera_covered_it_halts_and_closes_on_nothing(policy_dir: Path) -> None:
    policy = load_policy(policy_dir)
    scene = SceneConfig(cabinet=CABINETS["oak"], difficulty=difficulty_named("easy"))
    with CoveredCamera(scene) as world:
        world.reset(3)
        start = world.grasp_center_m
        result = run_trial(policy, world)
        assert result.reason is ReasonCode.NO_GRASP_POINT
        assert result.attempts == 0
        assert np.abs(world.grasp_center_m - start).max() < 1e-3


def test_one_view_from_beside_the_paths_tells_where(policy_dir: Path) -> None:
    policy = load_policy(policy_dir)
    assert isinstance(policy, VinnPolicy)
    errors = off_path_errors(policy, ["oak"], 20, seed=5, difficulty="easy")
    assert errors.shape == (20, 3)
    assert np.median(np.abs(errors[:, :2]), axis=0).max() < 0.02
    assert np.median(np.abs(errors[:, 2])) < 0.06


def test_figures_are_written_of_what_was_measured(
    policy_dir: Path, door_demonstrations: Path, tmp_path: Path
) -> None:
    dataset = Dataset.open(door_demonstrations)
    data = TaskData("door", dataset, dataset, dataset)
    workspace = Workspace(tmp_path, load_tables_config("grasp-point"), [data])
    folder = workspace.task_dir(data)
    workspace.unit(folder, "grasp-point-views", lambda: {"errors_m": [[0.001, -0.008, 0.02]] * 3})
    workspace.unit(
        folder, "grasp-point-blind", lambda: {"trials": [{"reason": "NOVEL", "attempts": 0}] * 4}
    )
    with pytest.raises(ConfigError, match="part 'colour' is unknown; known: closed-loop"):
        run_grasp_point(("colour",), data, workspace)
    rows = {row.name: row for row in grasp_point_results(data, workspace, "test").rows}
    assert rows["one view off the path, median error sideways"].met
    assert not rows["one view off the path, median error vertically"].met
    assert rows["one view off the path, median error in depth"].value == 20.0
    assert rows["camera covered: halted as novel or without a grasp point"].met
    assert rows["trials done"].value == 0
    workspace.close()


def test_without_memory_of_frames_many_are_as_one(
    policy_dir: Path, door_demonstrations: Path
) -> None:
    demonstration = Dataset.open(door_demonstrations).demonstrations[3]

    def actions(frames_per_step: int) -> np.ndarray:
        policy = load_policy(policy_dir)
        policy.reset()
        found = []
        for path, delta, state in zip(
            demonstration.frame_paths,
            demonstration.camera_delta,
            demonstration.gripper,
            strict=True,
        ):
            for _ in range(frames_per_step):
                prediction = policy.predict(read_frame(path))
            found.append(prediction.camera_delta)
            policy.advance(prediction, demonstrated_step(delta, int(state)))
        return np.array(found)

    assert np.array_equal(actions(1), actions(15))


def test_the_neighbours_agree_in_where_it_closes(
    policy_dir: Path, door_demonstrations: Path
) -> None:
    policy = load_policy(policy_dir)
    assert isinstance(policy, VinnPolicy)
    demonstration = Dataset.open(door_demonstrations).demonstrations[0]
    prediction = policy.predict(read_frame(demonstration.frame_paths[0]))
    assert prediction.grasp_point is not None
    way = prediction.grasp_point.camera_delta
    known = [
        np.sum(policy.memory.camera_delta[rows][: np.argmax(policy.memory.gripper[rows] >= 2)], 0)
        for rows in (
            np.flatnonzero(policy.memory.demonstration_ids == ids)
            for ids in np.unique(policy.memory.demonstration_ids)
        )
    ]
    assert np.linalg.norm(np.array(known) - way, axis=1).min() < 0.05
    assert sum(n.weight for n in prediction.neighbors) == pytest.approx(1.0)
    assert all(n.gripper_state < 3 for n in prediction.neighbors), "frames of open hands"


def test_demonstrations_are_predicted_from_their_images(
    policy_dir: Path, door_demonstrations: Path
) -> None:
    dataset = Dataset.open(door_demonstrations)
    few = replace(dataset, demonstrations=dataset.demonstrations[:2])
    predictions = predict_dataset(load_policy(policy_dir), few, np.zeros((few.frame_count, 1)))
    said = [prediction.grasp_point is not None for prediction in predictions]
    opened = np.concatenate(
        [hindsight(d.camera_delta, d.gripper).phase == 0 for d in few.demonstrations]
    )
    assert said == opened.tolist()
    wanted = np.concatenate([d.camera_delta for d in few.demonstrations])
    off = np.array([prediction.camera_delta for prediction in predictions]) - wanted
    assert np.mean(off**2) < 0.5 * np.mean((wanted - wanted.mean(0)) ** 2)


def test_the_artefact_holds_its_detector(
    policy_dir: Path, door_demonstrations: Path, lite0_encoder: Path, tmp_path: Path
) -> None:
    artefact = open_artefact(policy_dir)
    settings = artefact.settings
    assert settings is not None
    assert settings.grasp_point is not None
    assert artefact.embeddings.shape[1] == settings.dimension + KEY_SIZE
    dataset = Dataset.open(door_demonstrations)
    with pytest.raises(ConfigError, match="grasp_point: needs a detector"):
        build_from_preset(dataset, lite0_encoder, tmp_path / "x", load_preset("grasp-point"))
    manifest = policy_dir / GRASP_FOLDER / "grasp_point.json"
    text = manifest.read_text()
    try:
        manifest.write_text(text.replace('"metric"', '"unit"'))
        with pytest.raises(ArtefactMismatchError, match="detector with action scale unit"):
            open_artefact(policy_dir)
    finally:
        manifest.write_text(text)


def test_demonstrations_are_added_with_their_ways(policy_dir: Path, tmp_path: Path) -> None:
    from vinn.sim.recording import record_demonstrations

    record_demonstrations(tmp_path / "more", ("oak",), 1, "easy", seed=900)
    extended = extend_policy(policy_dir, Dataset.open(tmp_path / "more"), tmp_path / "extended")
    before, after = open_artefact(policy_dir), open_artefact(extended)
    added = after.embeddings[len(before.embeddings) :]
    assert len(added) == len(after.memory) - len(before.memory) > 0
    assert np.abs(added[:, -KEY_SIZE]).max() > 0
    assert set(np.unique(added[:, -1])) <= set(np.unique(before.embeddings[:, -1]))


def test_a_policy_without_one_demonstration_keeps_its_detector(
    policy_dir: Path, tmp_path: Path
) -> None:
    before = open_artefact(policy_dir)
    name = next(name for name in before.memory.names if "~" not in name)
    after = open_artefact(remove_demonstrations(policy_dir, [name], tmp_path / "shorter"))
    assert after.settings.grasp_point == before.settings.grasp_point
    assert name not in after.memory.names and len(after.memory) < len(before.memory)
    image = before.thumbnail(0)
    assert np.isfinite(after.policy().predict(image).camera_delta).all()
