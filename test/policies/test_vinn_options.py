"""The switches beyond the paper: views, context, progress, metrics, presets, DARP."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import DIMENSION, square_image, write_square_demos, write_tiny_encoder
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.augmentation import check_view, origin_name, view_delta, view_frame, views_of
from vinn.policies.build import build_policy
from vinn.policies.darp import ACTION_SIZE, DarpPolicy
from vinn.policies.features import Features, join_context
from vinn.policies.memory import ActionMemory
from vinn.policies.mlp import Mlp
from vinn.policies.preset import PolicyPreset, load_preset
from vinn.policies.progress import ProgressPrior, ProgressSettings
from vinn.policies.types import unknown_step
from vinn.retrieval.flat import FlatNeighbors

COUNT = 6


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_square_demos(root / "demos", COUNT)
    write_tiny_encoder(root / "encoder")
    return root


def line_memory(demonstrations: int = 3, length: int = 11) -> ActionMemory:
    count = demonstrations * length
    return ActionMemory(
        camera_delta=np.zeros((count, 3), np.float32),
        gripper=np.zeros(count, np.int8),
        demonstration_ids=np.repeat(np.arange(demonstrations), length),
        frames=np.tile(np.arange(length, dtype=np.int32), demonstrations),
        names=tuple(f"d{i}" for i in range(demonstrations)),
        action_scale=ActionScale.METRIC,
    )


def test_mirroring_twice_changes_nothing() -> None:
    image = square_image(0.1, 0.7)
    once = view_frame(image, "mirrored", "a")
    assert (once != image).any()
    np.testing.assert_array_equal(view_frame(once, "mirrored", "a"), image)
    delta = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_array_equal(view_delta(delta, "mirrored"), [[-1, 2, 3]])
    np.testing.assert_array_equal(view_delta(delta, "light-1"), delta)


def test_light_is_drawn_per_frame_and_repeats() -> None:
    image = square_image(0.4, 0.4)
    first = view_frame(image, "light-1", "demo/0")
    np.testing.assert_array_equal(first, view_frame(image, "light-1", "demo/0"))
    assert (first != view_frame(image, "light-1", "demo/1")).any()
    assert (first != view_frame(image, "light-2", "demo/0")).any()
    with pytest.raises(ConfigError, match="view 'upside-down' is unknown"):
        check_view("upside-down")


def test_views_of_a_demonstration_are_left_out_together(parts: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    views = views_of(mirrored=True, light_copies=1)
    memory = ActionMemory.of(dataset, views)
    assert len(memory) == 3 * dataset.frame_count
    assert len(np.unique(memory.origin_ids)) == COUNT
    names = [memory.names[i] for i in memory.demonstration_ids]
    for origin in np.unique(memory.origin_ids):
        rows = np.flatnonzero(memory.origin_ids == origin)
        assert len({origin_name(names[row]) for row in rows}) == 1
        assert len({names[row] for row in rows}) == 3


def test_mirrored_query_gets_the_mirrored_action(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    out = build_policy(
        dataset, parts / "encoder", tmp_path / "p", k=1, views=("original", "mirrored")
    )
    policy, artefact = load_policy(out), open_artefact(out)
    assert artefact.manifest.demonstration_count == COUNT
    assert artefact.manifest.frame_count == 2 * dataset.frame_count
    demonstration = dataset.demonstrations[1]
    # The tiny encoder resizes first: a mirrored frame is mirrored after that, as in the build.
    frame = policy.encoder.preprocessing.resize(read_frame(demonstration.frame_paths[2]))  # type: ignore[attr-defined]
    seen = policy.predict(frame)
    mirrored = policy.predict(np.ascontiguousarray(frame[:, ::-1]))
    assert mirrored.neighbors[0].demonstration == f"{demonstration.meta.name}~mirrored"
    assert mirrored.neighbors[0].distance == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(mirrored.camera_delta, seen.camera_delta * [-1, 1, 1])
    index = mirrored.neighbors[0].index
    plain = next(n.index for n in seen.neighbors)
    difference = artefact.thumbnail(index).astype(int) - artefact.thumbnail(plain)[:, ::-1]
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("context", [1, 2, 3])
def test_history_gives_what_the_memory_holds(context: int) -> None:
    rng = np.random.default_rng(0)
    ids = np.repeat([4, 7, 9], [5, 1, 6])
    embeddings = rng.normal(size=(12, 3)).astype(np.float32)
    features = Features(context)
    stored = features.of_demonstrations(embeddings, ids)
    assert stored.shape == (12, features.dimension(3))
    history: deque[np.ndarray] = deque(maxlen=context)
    for row, embedding in enumerate(embeddings):
        if row == 0 or ids[row] != ids[row - 1]:
            history.clear()
        history.append(embedding)
        np.testing.assert_array_equal(features.of_history(history), stored[row])
    np.testing.assert_array_equal(join_context(embeddings, ids, 1), embeddings)
    with pytest.raises(ConfigError, match="context: 9"):
        Features(9)


def test_context_tells_directions_of_motion_apart_until_reset(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    out = build_policy(dataset, parts / "encoder", tmp_path / "p", k=1, features=Features(2))
    policy = load_policy(out)
    demonstration = dataset.demonstrations[3]
    for step, path in enumerate(demonstration.frame_paths):
        prediction = policy.predict(read_frame(path))
        nearest = prediction.neighbors[0]
        assert (nearest.demonstration, nearest.frame) == (demonstration.meta.name, step)
        assert nearest.distance == 0
        policy.advance(prediction, unknown_step())
    assert policy.predict(read_frame(demonstration.frame_paths[0])).neighbors[0].distance > 0
    policy.reset()
    assert policy.predict(read_frame(demonstration.frame_paths[0])).neighbors[0].distance == 0


def take_step(
    prior: ProgressPrior, memory: ActionMemory, weights: np.ndarray, rows: np.ndarray
) -> None:
    """Advance by what the frames in these rows said."""
    prior.advance(memory.neighbors(rows, np.zeros(len(rows)), weights))


def test_progress_prefers_neighbours_near_the_belief() -> None:
    memory = line_memory()
    prior = ProgressPrior(memory, ProgressSettings(width=0.1, floor=0.05))
    early, late = 2, 20  # frames 2 and 9 of 11
    equal = np.array([0.5, 0.5])
    np.testing.assert_allclose(prior.reweigh(equal, np.array([early, late])), equal)
    take_step(prior, memory, np.array([1.0]), np.array([early]))
    for _frame in range(15):  # looking is not acting
        weights = prior.reweigh(equal, np.array([3, late]))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0.9
    take_step(prior, memory, weights, np.array([3, late]))
    assert prior.belief == pytest.approx(float(weights @ memory.progress[[3, late]]))
    prior.reset()
    assert prior.belief is None


def test_clear_view_overrules_a_wrong_belief() -> None:
    memory = line_memory()
    prior = ProgressPrior(memory, ProgressSettings(width=0.1, floor=0.1))
    take_step(prior, memory, np.array([1.0]), np.array([0]))
    weights = prior.reweigh(np.array([0.001, 0.999]), np.array([1, 10]))
    assert weights[1] > 0.98


def test_preset_with_every_switch_builds_loads_and_extends(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    preset = PolicyPreset.model_validate(
        {
            "select": True,
            "mirrored": True,
            "light_copies": 1,
            "context": 2,
            "metric": "nca",
            "metric_dimension": 10,
            "progress": {"width": 0.2},
        }
    )
    stages = set()
    out = build_from_preset(
        dataset,
        parts / "encoder",
        tmp_path / "p",
        preset,
        on_stage=lambda what, done, total: stages.add(what),
    )
    assert stages == {"embedding frames", "learning the metric"}
    artefact = open_artefact(out)
    settings = artefact.settings
    assert settings is not None
    assert settings.views == ("original", "mirrored", "light-1")
    assert (settings.context, settings.metric_dimension) == (2, 10)
    assert artefact.embeddings.shape == (3 * dataset.frame_count, 10)
    assert "selection" in artefact.manifest.provenance
    policy = load_policy(out)
    first = policy.predict(read_frame(dataset.demonstrations[0].frame_paths[0]))
    assert first.neighbors[0].distance == pytest.approx(0, abs=1e-3)

    more = write_square_demos(tmp_path / "more", 1, seed=5)
    added = Dataset.open(tmp_path / "more")
    renamed = tmp_path / "more" / more.demonstrations[0].meta.name
    assert renamed.is_dir()
    with pytest.raises(ArtefactMismatchError, match="already"):
        extend_policy(out, added, tmp_path / "q")

    (out / "metric.npz").write_bytes(b"nothing")
    with pytest.raises(ArtefactMismatchError, match=r"metric\.npz"):
        open_artefact(out)


def test_extended_policy_is_the_one_built_of_all(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    names = [d.meta.name for d in dataset.demonstrations]
    settings = {"k": 4, "views": ("original", "mirrored"), "features": Features(2)}
    part = build_policy(dataset.only(*names[:4]), parts / "encoder", tmp_path / "part", **settings)  # type: ignore[arg-type]
    whole = build_policy(dataset, parts / "encoder", tmp_path / "whole", **settings)  # type: ignore[arg-type]
    longer = extend_policy(part, dataset.only(*names[4:]), tmp_path / "longer")
    assert open_artefact(longer).manifest.frame_count == 2 * dataset.frame_count
    image = square_image(0.83, 0.15)
    one, other = load_policy(longer).predict(image), load_policy(whole).predict(image)
    np.testing.assert_allclose(one.camera_delta, other.camera_delta, atol=1e-7)
    assert {(n.demonstration, n.frame) for n in one.neighbors} == {
        (n.demonstration, n.frame) for n in other.neighbors
    }


def test_vinn_preset_is_the_papers_and_plus_goes_beyond() -> None:
    paper = load_preset("vinn")
    assert paper == PolicyPreset()
    assert (paper.k, paper.bandwidth) == (10, 1.0)
    plus = load_preset("vinn-plus")
    assert plus.select
    assert plus.local is not None
    assert plus.mirrored


def test_embeddings_of_other_views_are_refused(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    embedded = embed_dataset(dataset, load_encoder(parts / "encoder"))
    with pytest.raises(
        ArtefactMismatchError, match="views original, the policy's are original, mir"
    ):
        build_policy(
            dataset,
            parts / "encoder",
            tmp_path / "p",
            views=("original", "mirrored"),
            embedded=embedded,
        )


def adding_head() -> Mlp:
    """f(z_i, a_i, z - z_i) = a_i + (first three of z - z_i, no change of the state)."""
    weight = np.zeros((ACTION_SIZE, 2 * DIMENSION + ACTION_SIZE), np.float32)
    weight[:, DIMENSION : DIMENSION + ACTION_SIZE] = np.eye(ACTION_SIZE)
    weight[:3, DIMENSION + ACTION_SIZE : DIMENSION + ACTION_SIZE + 3] = np.eye(3)
    return Mlp((weight,), (np.zeros(ACTION_SIZE, np.float32),))


def test_darp_averages_the_adjusted_actions(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    length = 0.5
    out = build_policy(
        dataset, parts / "encoder", tmp_path / "darp", k=4, head=(adding_head(), length)
    )
    artefact = open_artefact(out)
    assert artefact.manifest.kind == "darp"
    policy = load_policy(out)
    assert isinstance(policy, DarpPolicy)
    query = policy.encoder.embed([square_image(0.3, 0.6)])[0]
    prediction = policy.predict_embedding(query)
    rows = [neighbor.index for neighbor in prediction.neighbors]
    memory = artefact.memory
    expected = memory.camera_delta[rows] + length * (query - artefact.embeddings[rows])[:, :3]
    np.testing.assert_allclose(prediction.camera_delta, expected.mean(axis=0), rtol=1e-4, atol=1e-6)
    assert prediction.gripper_probabilities.sum() == pytest.approx(1)
    with pytest.raises(ArtefactError, match="cannot be extended"):
        extend_policy(out, dataset, tmp_path / "q")


def test_darp_refuses_a_head_of_the_wrong_size(parts: Path) -> None:
    memory = ActionMemory.of(Dataset.open(parts / "demos"))
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(memory), DIMENSION)).astype(np.float32)
    small = Mlp((np.zeros((7, 5), np.float32),), (np.zeros(7, np.float32),))
    arguments = (load_encoder(parts / "encoder"), FlatNeighbors(embeddings), memory, 3)
    with pytest.raises(ArtefactMismatchError, match="maps 5 to 7 values, wanted 103 to 7"):
        DarpPolicy(*arguments, features_of_rows=embeddings, head=small, length=1.0)
    with pytest.raises(ConfigError, match=r"length: 0\.0"):
        DarpPolicy(*arguments, features_of_rows=embeddings, head=adding_head(), length=0.0)
