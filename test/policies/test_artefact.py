"""Policy artefacts: build, load, and everything that must be refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import STEPS, square_image, write_square_demos, write_tiny_encoder
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_encoder
from vinn.errors import ArtefactError, ArtefactMismatchError, ConfigError, DatasetError, VinnError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.augmentation import MIRRORED, ORIGINAL, view_frame
from vinn.policies.build import build_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.nearest import nearest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.vinn import VinnPolicy

COUNT = 5


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demos/, encoder/ and the policy built of them; tests copy what they damage."""
    root = tmp_path_factory.mktemp("parts")
    dataset = write_square_demos(root / "demos", COUNT)
    write_tiny_encoder(root / "encoder")
    build_policy(dataset, root / "encoder", root / "policy", k=6, bandwidth=0.5)
    return root


@pytest.fixture
def damaged(parts: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(parts / "policy", tmp_path / "policy"))


def edit_manifest(directory: Path, **changes: object) -> None:
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    for key, value in changes.items():
        (manifest["vinn"] if key in manifest["vinn"] else manifest)[key] = value
    path.write_text(json.dumps(manifest))


def test_build_and_load(parts: Path) -> None:
    artefact = open_artefact(parts / "policy")
    assert artefact.manifest.frame_count == COUNT * STEPS
    policy = load_policy(parts / "policy")
    assert isinstance(policy, VinnPolicy)
    assert (policy.k, policy.bandwidth) == (6, 0.5)
    dataset = Dataset.open(parts / "demos")
    demonstration = dataset.demonstrations[2]
    prediction = policy.predict(read_frame(demonstration.frame_paths[3]))
    nearest = prediction.neighbors[0]
    assert (nearest.demonstration, nearest.frame) == (demonstration.meta.name, 3)
    assert nearest.distance == 0
    np.testing.assert_array_equal(nearest.camera_delta, demonstration.camera_delta[3])


def test_policy_moves_towards_the_square(parts: Path) -> None:
    """Behaviour: in these demonstrations the square always comes to the middle."""
    policy = load_policy(parts / "policy")
    policy_left = policy.predict(square_image(0.1, 0.5)).camera_delta
    policy_right = policy.predict(square_image(0.9, 0.5)).camera_delta
    assert policy_left[0] > policy_right[0]


def test_thumbnails_show_their_frames(parts: Path) -> None:
    artefact = open_artefact(parts / "policy")
    dataset = Dataset.open(parts / "demos")
    frames = [p for d in dataset.demonstrations for p in d.frame_paths]
    for index in (0, 11, COUNT * STEPS - 1):
        thumbnail = artefact.thumbnail(index)
        assert thumbnail.shape == (48, 64, 3)
        assert np.abs(thumbnail.astype(int) - read_frame(frames[index])).mean() < 8
    with pytest.raises(IndexError):
        artefact.thumbnail(COUNT * STEPS)


def test_building_twice_gives_the_same_bytes(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    again = build_policy(
        dataset, parts / "encoder", tmp_path / "again", k=6, bandwidth=0.5, name="policy"
    )
    first = (parts / "policy/manifest.json").read_text()
    assert (again / "manifest.json").read_text() == first


def test_novelty_limit_tells_familiar_from_strange(parts: Path) -> None:
    policy = load_policy(parts / "policy")
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert policy.predict(square_image(0.5, 0.5)).novelty < 1
    assert policy.predict(noise).novelty > 1


def test_embedding_on_all_processors_changes_nothing(parts: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    views = (ORIGINAL, MIRRORED)
    progress: list[tuple[int, int]] = []
    encoder = load_encoder(parts / "encoder", streams=3)
    found = embed_dataset(dataset, encoder, lambda *done: progress.append(done), views)
    single = load_encoder(parts / "encoder")
    expected = [
        single.encode(view_frame(single.preprocessing.resize(read_frame(path)), view, ""))
        for view in views
        for demonstration in dataset.demonstrations
        for path in demonstration.frame_paths
    ]
    np.testing.assert_array_equal(found.embeddings, expected)
    count = dataset.frame_count
    assert progress == [(done, count) for done in range(1, count + 1)]


def test_precomputed_embeddings_must_be_of_the_same_parts(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    embedded = embed_dataset(dataset, load_encoder(parts / "encoder"))
    other_encoder = write_tiny_encoder(tmp_path / "encoder", gain=2.0)
    with pytest.raises(ArtefactMismatchError, match=embedded.encoder_hash[:12]):
        build_policy(dataset, other_encoder, tmp_path / "policy", k=1, embedded=embedded)
    half = dataset.split({"half": 0.5}, seed=0)["half"]
    with pytest.raises(ArtefactMismatchError, match=dataset.hash[:12]):
        build_policy(half, parts / "encoder", tmp_path / "policy", k=1, embedded=embedded)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder"]


@pytest.mark.parametrize(
    "victim",
    [
        "manifest.json",
        "frames.parquet",
        "embeddings.npy",
        "thumbnails.bin",
        "encoder/model.bin",
        "encoder/model.xml",
        "encoder/manifest.json",
    ],
)
def test_truncated_flipped_and_missing_files_are_refused(damaged: Path, victim: str) -> None:
    path = damaged / victim
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0xFF
    for content in (data[: len(data) // 2], b"", bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=victim) as caught:
            load_policy(damaged)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(ArtefactError, match=victim):
        load_policy(damaged)


def test_artefact_of_another_encoder_is_refused_naming_both(damaged: Path, tmp_path: Path) -> None:
    shutil.rmtree(damaged / "encoder")
    write_tiny_encoder(damaged / "encoder", gain=2.0)
    wanted = json.loads((damaged / "manifest.json").read_text())["vinn"]["encoder_hash"]
    found = json.loads((damaged / "encoder/manifest.json").read_text())["hash"]
    with pytest.raises(ArtefactMismatchError, match=f"{found[:12]}.*{wanted[:12]}"):
        load_policy(damaged)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dimension": 47}, ArtefactMismatchError, "48.*47"),
        ({"frame_count": 39}, ArtefactMismatchError, "40.*39"),
        ({"demonstration_count": 4}, ArtefactMismatchError, "5 demonstrations.*4"),
        ({"k": 41}, ConfigError, "41 neighbours of 40"),
        ({"bandwidth": -1}, ArtefactError, "vinn.bandwidth"),
        ({"schema_version": 99}, ArtefactError, "99"),
        ({"kind": "open_loop"}, ArtefactError, "disagree"),
        ({"surprise": 1}, ArtefactError, "surprise"),
        ({"files": {"../../etc/passwd": ""}}, ArtefactError, "files must be"),
    ],
)
def test_manifest_that_does_not_fit_is_refused(
    damaged: Path, change: dict[str, object], error: type[VinnError], message: str
) -> None:
    edit_manifest(damaged, **change)
    with pytest.raises(error, match=message):
        load_policy(damaged)


def test_failed_builds_leave_nothing(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    out = tmp_path / "policy"
    with pytest.raises(ConfigError, match="41 neighbours of 40"):
        build_policy(dataset, parts / "encoder", out, k=41)
    with pytest.raises(ArtefactError, match="nowhere"):
        build_policy(dataset, tmp_path / "nowhere", out)
    demos = Path(shutil.copytree(parts / "demos", tmp_path / "demos"))
    frame = demos / "square_3/frames/000004.jpg"
    frame.write_bytes(frame.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"square_3/frames/000004\.jpg"):
        build_policy(Dataset.open(demos), parts / "encoder", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demos"]


def test_open_loop_control_round_trip(parts: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(parts / "demos")
    OPEN_LOOP.build(BuildRequest(dataset, tmp_path / "control"))
    policy = load_policy(tmp_path / "control")
    assert isinstance(policy, OpenLoopPolicy)
    mean = np.mean([d.camera_delta[0] for d in dataset.demonstrations], axis=0)
    np.testing.assert_allclose(policy.predict(square_image(0, 0)).camera_delta, mean, rtol=1e-5)
    assert not (tmp_path / "control/encoder").exists()
    with pytest.raises(ArtefactError, match="open_loop"):
        _ = nearest(open_artefact(tmp_path / "control")).embeddings


def test_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="nowhere: no such policy"):
        load_policy(tmp_path / "nowhere")
