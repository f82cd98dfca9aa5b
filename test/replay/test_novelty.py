"""Novelty by what the demonstrations' principal directions leave over."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import square_image
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError, DatasetError
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.build import build_policy
from vinn.policies.kinds.nearest import VinnSettings
from vinn.policies.novelty import (
    NoveltyMeasure,
    Subspace,
    held_out_residuals,
    load_subspace,
    save_subspace,
)
from vinn.policies.vinn import VinnPolicy


def plane(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points of a plane in 40 dimensions that does not go through the origin."""
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(40, 2)))[0]
    return (3.0 + rng.normal(size=(count, 2)) @ basis.T).astype(np.float32)


def test_residual_is_the_distance_from_the_subspace() -> None:
    rng = np.random.default_rng(0)
    points = plane(rng, 60)
    subspace = Subspace.fit(points, components=2)
    np.testing.assert_allclose(subspace.residual(points), 0, atol=1e-5)
    away = rng.normal(size=40)
    away -= subspace.directions @ (subspace.directions.T @ away)
    away *= 0.7 / np.linalg.norm(away)
    np.testing.assert_allclose(subspace.residual(points + away.astype(np.float32)), 0.7, atol=1e-5)
    # Far along the plane is near to the subspace, though far from every point.
    far = points + 50 * subspace.directions[:, 0]
    assert subspace.residual(far).max() < 1e-3


def test_a_small_thing_counts_in_its_cell() -> None:
    """Of a grid of local features the cell where something is covered decides."""
    rng = np.random.default_rng(6)
    mixing = rng.normal(size=(3, 5 * 9))  # 5 channels of 3 x 3 cells, channel after channel
    points = (rng.normal(size=(200, 3)) @ mixing).astype(np.float32)
    subspace = Subspace.fit(points, cells=9, components=3)
    covered = points[:20].reshape(20, 5, 9).copy()
    covered[:, :, 4] += 2.0
    residuals = subspace.residual_map(covered.reshape(20, -1))
    assert (residuals.argmax(axis=1) == 4).all()
    np.testing.assert_array_equal(subspace.residual(covered.reshape(20, -1)), residuals.max(axis=1))
    whole = Subspace(subspace.centre, subspace.directions).residual(covered.reshape(20, -1))
    np.testing.assert_allclose(np.linalg.norm(residuals, axis=1), whole, rtol=1e-5)


def test_in_blocks_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(1).normal(size=(30, 12)).astype(np.float32)
    subspace = Subspace.fit(points, components=3)
    whole = subspace.residual(points)
    monkeypatch.setattr("vinn.policies.novelty._BLOCK_ROWS", 7)
    np.testing.assert_allclose(subspace.residual(points), whole, rtol=1e-6)


def test_few_frames_leave_something_over() -> None:
    points = np.random.default_rng(2).normal(size=(6, 40)).astype(np.float32)
    assert Subspace.fit(points).directions.shape == (40, 3)
    with pytest.raises(ConfigError):
        Subspace.fit(points[:1])


def test_a_demonstration_is_judged_by_the_others() -> None:
    rng = np.random.default_rng(3)
    points, ids = plane(rng, 80), np.repeat(np.arange(8), 10)
    points[ids == 7] += 0.5  # seen in this demonstration alone
    residuals = held_out_residuals(points, ids, components=2)
    familiar = np.flatnonzero((ids % 5 != 2) & (ids != 7))  # folds are by number modulo 5
    assert residuals[ids == 7].min() > 3 * np.median(residuals[familiar])
    with pytest.raises(DatasetError, match="2 demonstrations, got 1"):
        held_out_residuals(points, np.zeros(80, int))


def test_a_new_demonstration_becomes_familiar() -> None:
    rng = np.random.default_rng(7)
    points = plane(rng, 80)
    subspace = Subspace.fit(points, components=2)
    new = points[:12] + rng.normal(size=(1, 40)).astype(np.float32)
    assert subspace.residual(new).min() > 1
    extended = subspace.extended(new)
    assert extended.residual(new).max() < 1e-3
    added = extended.directions.shape[1] - 2
    np.testing.assert_allclose(
        extended.directions.T @ extended.directions, np.eye(2 + added), atol=1e-5
    )
    other = points[:12] + rng.normal(size=(1, 40)).astype(np.float32)
    assert extended.residual(other).min() > 1  # what it did not show stays novel
    assert subspace.extended(points[:5]).directions.shape == (40, 2)


@pytest.fixture(scope="module")
def by_subspace(square_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = Dataset.open(square_policy / "demos")
    out = tmp_path_factory.mktemp("subspace") / "policy"
    return build_policy(
        dataset, square_policy / "encoder", out, 6, 0.5, novelty=NoveltyMeasure.SUBSPACE
    )


def test_a_policy_measures_by_the_subspace_and_acts_the_same(
    square_policy: Path, by_subspace: Path
) -> None:
    plain = open_artefact(square_policy / "policy").policy()
    artefact = open_artefact(by_subspace)
    policy = artefact.policy()
    assert isinstance(policy, VinnPolicy) and isinstance(artefact.settings, VinnSettings)
    image = square_image(0.4, 0.6)
    said = policy.predict(image)
    np.testing.assert_array_equal(said.camera_delta, plain.predict(image).camera_delta)
    embedding = policy.encoder.embed([image])
    assert policy.subspace is not None and artefact.settings.novelty_limit is not None
    expected = policy.subspace.residual(embedding)[0] / artefact.settings.novelty_limit
    assert said.novelty == pytest.approx(expected)
    demonstrated = Dataset.open(square_policy / "demos").demonstrations[0]
    assert policy.predict(read_frame(demonstrated.frame_paths[3])).novelty < 1
    noise = np.random.default_rng(0).integers(0, 255, image.shape, np.uint8)
    assert policy.predict(noise).novelty > 1


def test_an_extended_policy_knows_what_was_added(
    square_policy: Path, by_subspace: Path, tmp_path: Path
) -> None:
    strange = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    meta = DemonstrationMeta(
        name="strange", task="square", camera=CameraInfo(name="wrist", width_px=64, height_px=48)
    )
    frames = [strange, np.roll(strange, 8, axis=1), np.roll(strange, 16, axis=1)]
    write_demonstration(tmp_path / "demos", meta, frames, np.full((3, 3), 0.01), [0, 0, 0])
    added = Dataset.open(tmp_path / "demos")
    out = extend_policy(by_subspace, added, tmp_path / "extended")
    seen = read_frame(added.demonstrations[0].frame_paths[1])
    assert open_artefact(by_subspace).policy().predict(seen).novelty > 1
    assert open_artefact(out).policy().predict(seen).novelty < 1


def test_a_damaged_subspace_is_refused(by_subspace: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "policy"
    shutil.copytree(by_subspace, damaged)
    (damaged / "novelty.npz").write_bytes(b"no")
    with pytest.raises(ArtefactMismatchError, match=r"novelty\.npz"):
        open_artefact(damaged)


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    subspace = Subspace.fit(np.random.default_rng(4).normal(size=(20, 8)).astype(np.float32), 4, 2)
    save_subspace(tmp_path / "s.npz", subspace)
    loaded = load_subspace(tmp_path / "s.npz", 8)
    np.testing.assert_array_equal(loaded.directions, subspace.directions)
    assert loaded.cells == 4
    with pytest.raises(ArtefactError, match="length 9"):
        load_subspace(tmp_path / "s.npz", 9)
    (tmp_path / "s.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:100])
    with pytest.raises(ArtefactError, match=r"s\.npz: not an archive of NumPy arrays, or damaged"):
        load_subspace(tmp_path / "s.npz", 8)
    save_subspace(tmp_path / "n.npz", Subspace(subspace.centre * np.nan, subspace.directions))
    with pytest.raises(ArtefactError, match="not finite"):
        load_subspace(tmp_path / "n.npz", 8)
