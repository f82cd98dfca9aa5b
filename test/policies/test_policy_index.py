"""A policy's index changes how it searches, never what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.errors import ArtefactMismatchError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.artefacts.manifest import INDEX_FOLDER
from vinn.policies.build import build_policy
from vinn.retrieval import index as index_module
from vinn.retrieval.approximate import ApproximateNeighbors
from vinn.retrieval.flat import FlatNeighbors
from vinn.retrieval.index import read_index_manifest, read_projection
from vinn.retrieval.projected import ProjectedNeighbors


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """encoder/, demos/ and policy/ without an index."""
    root = tmp_path_factory.mktemp("parts")
    write_tiny_encoder(root / "encoder")
    dataset = write_square_demos(root / "demos", 6)
    build_policy(dataset, root / "encoder", root / "policy", k=6, bandwidth=0.5)
    return root


def test_a_large_memory_gets_an_index_when_it_is_built(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "FLAT_UP_TO", 10)
    dataset = write_square_demos(tmp_path / "demos", 6)
    build_policy(dataset, parts / "encoder", tmp_path / "large", k=6, bandwidth=0.5)
    assert isinstance(open_artefact(tmp_path / "large").neighbors(), ProjectedNeighbors)
    plain, fast = load_policy(parts / "policy"), load_policy(tmp_path / "large")
    for x in np.linspace(0.1, 0.9, 7):
        image = square_image(x, 1 - x)
        expected, found = plain.predict(image), fast.predict(image)
        assert [n.index for n in found.neighbors] == [n.index for n in expected.neighbors]
        np.testing.assert_allclose(found.camera_delta, expected.camera_delta, atol=1e-6)


def test_the_command_changes_the_search(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = Path(shutil.copytree(parts / "policy", tmp_path / "policy"))
    for kind, expected in (
        ("projected", ProjectedNeighbors),
        ("approximate", ApproximateNeighbors),
        ("flat", FlatNeighbors),
    ):
        assert run(["policy", "index", str(policy), "--kind", kind]) == 0
        assert isinstance(open_artefact(policy).neighbors(), expected)
        assert kind in capsys.readouterr().out
    assert not (policy / INDEX_FOLDER).exists()


def test_added_demonstrations_are_in_the_index(parts: Path, tmp_path: Path) -> None:
    policy = Path(shutil.copytree(parts / "policy", tmp_path / "policy"))
    assert run(["policy", "index", str(policy), "--kind", "projected"]) == 0
    demonstrations = write_square_demos(tmp_path / "more", 8)
    names = [demonstration.meta.name for demonstration in demonstrations.demonstrations]
    extend_policy(policy, demonstrations.only(*names[6:]), tmp_path / "longer")
    before = open_artefact(policy)
    longer = open_artefact(tmp_path / "longer")
    assert read_index_manifest(tmp_path / "longer" / INDEX_FOLDER).count == len(longer.memory)
    np.testing.assert_array_equal(
        read_projection(tmp_path / "longer" / INDEX_FOLDER).basis,
        read_projection(policy / INDEX_FOLDER).basis,
    )
    row = len(before.memory) + 1
    distances, rows = longer.neighbors().search(longer.embeddings[row], 3)
    assert distances[0] == 0 and row in rows


def test_an_index_of_other_embeddings_is_refused(parts: Path, tmp_path: Path) -> None:
    policy = Path(shutil.copytree(parts / "policy", tmp_path / "policy"))
    assert run(["policy", "index", str(policy), "--kind", "projected"]) == 0
    manifest = policy / INDEX_FOLDER / "index.json"
    theirs = open_artefact(policy).manifest.files["embeddings.npy"]
    manifest.write_text(manifest.read_text().replace(theirs, "0" * 64), encoding="utf-8")
    with pytest.raises(ArtefactMismatchError, match="000000000000"):
        load_policy(policy)


def test_a_policy_takes_another_search_over_its_rows(parts: Path) -> None:
    artefact = open_artefact(parts / "policy")
    calls: list[int] = []

    class Counting(FlatNeighbors):
        def search(self, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            calls.append(k)
            return super().search(query, k)

    policy = artefact.policy(neighbors=Counting(artefact.embeddings))
    image = square_image(0.3, 0.6)
    expected = artefact.policy().predict(image)
    np.testing.assert_array_equal(policy.predict(image).camera_delta, expected.camera_delta)
    assert calls == [6]
