"""`vinn policy verify`: nothing in an artefact changes unnoticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.demos.checksums import CHECKSUMS, write_checksums
from vinn.demos.files import sha256_file
from vinn.demos.store import Dataset
from vinn.errors import ArtefactError, VinnError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.edit import extend_policy, remove_demonstrations
from vinn.policies.artefacts.manifest import sealed_files
from vinn.policies.artefacts.verify import verify_artefact
from vinn.policies.build import build_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.retrieval.index import IndexKind, build_index


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demos/, encoder/ and policies of every way to make one."""
    root = tmp_path_factory.mktemp("verify")
    dataset = write_square_demos(root / "demos", 4)
    write_tiny_encoder(root / "encoder")
    build_policy(dataset.only("square_0", "square_1"), root / "encoder", root / "built", k=3)
    build_policy(dataset, root / "encoder", root / "half", k=3, views=("original", "mirrored"))
    extend_policy(root / "built", dataset.only("square_2"), root / "extended")
    remove_demonstrations(root / "extended", ["square_0"], root / "shortened")
    OPEN_LOOP.build(BuildRequest(dataset, root / "control"))
    return root


POLICIES = ("built", "half", "extended", "shortened", "control")


@pytest.mark.parametrize("name", POLICIES)
def test_a_sound_policy_is_sealed_and_has_no_problems(made: Path, name: str) -> None:
    found = verify_artefact(made / name, Dataset.open(made / "demos"))
    assert found.problems == () and found.sealed
    there = {p.relative_to(made / name).as_posix() for p in (made / name).rglob("*")}
    files = {name for name in there if (made / "built" / name).is_file()} or there
    assert found.files >= len(files - {CHECKSUMS}) - 1


@pytest.mark.parametrize("name", POLICIES)
def test_every_changed_byte_of_every_file_is_found(made: Path, tmp_path: Path, name: str) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / name, policy)
    rng = np.random.default_rng(2)
    for path in sorted(path for path in policy.rglob("*") if path.is_file()):
        sound = path.read_bytes()
        for place in rng.integers(0, len(sound), 5):
            changed = bytearray(sound)
            changed[place] ^= int(rng.integers(1, 256))
            path.write_bytes(changed)
            problems = verify_artefact(policy).problems
            assert problems, f"{path.relative_to(policy)}, byte {place}"
            assert not any("\n" in problem for problem in problems)
        path.write_bytes(sound)
    assert verify_artefact(policy).problems == ()


def with_right_hashes(policy: Path) -> None:
    """As somebody would leave it who changed files and made all hashes anew."""
    manifest = json.loads((policy / "manifest.json").read_text())
    manifest["files"] = {name: sha256_file(policy / name) for name in manifest["files"]}
    (policy / "manifest.json").write_text(json.dumps(manifest))
    write_checksums(policy, sealed_files(policy))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_that_are_not_finite_never_load(
    made: Path, tmp_path: Path, value: float
) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    embeddings = np.load(policy / "embeddings.npy")
    row, column = np.random.default_rng(3).integers(embeddings.shape)
    embeddings[row, column] = value
    np.save(policy / "embeddings.npy", embeddings)
    with_right_hashes(policy)
    with pytest.raises(ArtefactError, match=f"row {row} holds {value}"):
        load_policy(policy)


def test_other_embeddings_are_found_with_the_demonstrations_at_hand(
    made: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    embeddings = np.load(policy / "embeddings.npy")
    np.save(policy / "embeddings.npy", embeddings[::-1].copy())
    with_right_hashes(policy)
    assert verify_artefact(policy).problems == ()  # whole, and of nothing
    (problem,) = verify_artefact(policy, Dataset.open(made / "demos")).problems
    assert "off what the encoder gives" in problem


@pytest.mark.parametrize("value", [1e30, 5.0, np.nan])
def test_actions_that_no_robot_makes_never_load(made: Path, tmp_path: Path, value: float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    table = pq.read_table(policy / "frames.parquet")
    values = table["dz"].to_numpy().copy()
    values[5] = value
    place = table.schema.get_field_index("dz")
    table = table.set_column(place, table.schema.field(place), pa.array(values, pa.float32()))
    pq.write_table(table, policy / "frames.parquet")
    with_right_hashes(policy)
    with pytest.raises(ArtefactError, match="action 5"):
        load_policy(policy)


def _extra(policy: Path) -> str:
    (policy / "encoder" / "note.txt").write_text("hello")
    return "note.txt"


def _lost(policy: Path) -> str:
    (policy / "thumbnails.bin").unlink()
    return "thumbnails.bin"


def _swapped(policy: Path) -> str:
    """Another bandwidth: no file but the manifest says so."""
    path = policy / "manifest.json"
    path.write_text(path.read_text().replace('"bandwidth": 1.0', '"bandwidth": 7.5'))
    return "manifest.json"


def _listed_twice(policy: Path) -> str:
    path = policy / CHECKSUMS
    path.write_text(path.read_text() * 2)
    return CHECKSUMS


@pytest.mark.parametrize("change", [_extra, _lost, _swapped, _listed_twice])
def test_what_is_not_as_it_was_made(
    made: Path, tmp_path: Path, change: Callable[[Path], str], capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    name = change(policy)
    assert run(["policy", "verify", str(policy)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("vinn: error: ") and name in error and "\n" not in error


def test_a_changed_manifest_does_not_load(made: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    _swapped(policy)
    with pytest.raises(ArtefactError, match="changed since it was written"):
        load_policy(policy)


def test_policies_of_before_load_and_verify_says_what_is_not_covered(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    (policy / CHECKSUMS).unlink()
    load_policy(policy)
    assert run(["policy", "verify", str(policy)]) == 0
    assert "manifest.json itself is not covered" in capsys.readouterr().out


def test_the_index_may_come_and_go_and_a_damaged_one_is_found(made: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    shutil.copytree(made / "built", policy)
    artefact = open_artefact(policy)
    build_index(
        policy / "index",
        artefact.embeddings,
        artefact.memory.origin_ids,
        artefact.manifest.files["embeddings.npy"],
        IndexKind.PROJECTED,
    )
    assert verify_artefact(policy).problems == ()
    path = policy / "index" / "coordinates.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)
    assert any("coordinates.npy" in problem for problem in verify_artefact(policy).problems)


def test_what_is_no_policy(tmp_path: Path, made: Path) -> None:
    with pytest.raises(ArtefactError, match="no such policy artefact"):
        verify_artefact(tmp_path / "missing")
    for folder in (tmp_path, made / "encoder", made / "demos"):
        assert verify_artefact(folder).problems
    with pytest.raises(VinnError):
        verify_artefact(made / "demos" / "square_0" / "meta.json")
