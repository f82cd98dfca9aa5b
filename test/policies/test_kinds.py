"""Kinds of policies: one of another package works like those that ship."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from installed_package import install
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefact import open_artefact
from vinn.policies.build import build_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.registry import POLICY_KINDS

KIND_CODE = """
import numpy as np
from pydantic import BaseModel, Field
from vinn.encoders.encoder import load_encoder
from vinn.policies.kinds.kind import PolicyKind
from vinn.policies.types import Prediction
from vinn.reading.arrays import read_npy
from vinn.errors import ArtefactError


class RidgeSettings(BaseModel):
    strength: float = Field(default=1.0, gt=0)
    dimension: int = 0


class RidgePolicy:
    def __init__(self, encoder, weights, scale):
        self._encoder, self._weights, self.action_scale = encoder, weights, scale

    def reset(self):
        pass

    def predict(self, image_rgb):
        seen = np.append(self._encoder.embed([image_rgb])[0], 1.0)
        return Prediction(seen @ self._weights, 0.0, np.array([1.0, 0, 0, 0]), self.action_scale)

    def advance(self, prediction, step):
        pass


class RidgeKind(PolicyKind):
    name = "ridge"
    title = "a linear map"
    settings = RidgeSettings
    needs_encoder = True

    def files(self, settings):
        return ("weights.npy",)

    def write(self, folder, memory, embeddings, settings):
        x = np.c_[embeddings, np.ones(len(embeddings))].astype(np.float64)
        penalty = settings.strength * np.eye(x.shape[1])
        weights = np.linalg.solve(x.T @ x + penalty, x.T @ memory.camera_delta)
        np.save(folder / "weights.npy", weights)
        return settings.model_copy(update={"dimension": x.shape[1]})

    def load(self, artefact, options):
        weights = read_npy(artefact.directory / "weights.npy", ArtefactError)
        encoder = load_encoder(artefact.directory / "encoder", options.threads, options.precision)
        return RidgePolicy(encoder, weights, artefact.manifest.action_scale)


KIND = RidgeKind()
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_square_demos(root / "demos", 4, seed=5)
    write_tiny_encoder(root / "encoder")
    points = {"vinn.policies": {"ridge": "ridge_package:KIND"}}
    install(root / "site", "ridge_package", KIND_CODE, points)
    return root


def vinn(parts: Path, *arguments: object, installed: bool = True) -> subprocess.CompletedProcess:
    environment = {**os.environ, "COLUMNS": "200"}
    if installed:
        environment["PYTHONPATH"] = str(parts / "site")
    return subprocess.run(
        [str(Path(sys.executable).parent / "vinn"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def built(parts: Path, out: Path, strength: float = 0.5) -> Path:
    result = vinn(
        parts, "policy", "build", parts / "demos", "--kind", "ridge", "--set",
        f"strength={strength}", "--encoder", parts / "encoder", "--out", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "ridge" in result.stdout and "strength" in result.stdout
    return out


def test_a_kind_of_another_package_is_built_verified_and_asked(parts: Path, tmp_path: Path) -> None:
    policy = built(parts, tmp_path / "policy")
    manifest = json.loads((policy / "manifest.json").read_text())
    assert manifest["kind"] == "ridge"
    assert manifest["settings"] == {"strength": 0.5, "dimension": 49}
    assert manifest["vinn"] is None and manifest["parametric"] is None
    checked = vinn(parts, "policy", "verify", policy, "--demos", parts / "demos")
    assert checked.returncode == 0 and " 0 problems" in checked.stdout
    listed = vinn(parts, "policy", "kinds")
    assert "ridge_package" in listed.stdout and "open_loop" in listed.stdout
    image = tmp_path / "image.png"
    import cv2

    cv2.imwrite(str(image), square_image(0.2, 0.7)[..., ::-1])
    said = json.loads(vinn(parts, "policy", "predict", policy, image).stdout)
    assert np.isfinite(said["camera_delta"]).all() and any(said["camera_delta"])


def test_what_is_changed_in_it_is_refused(parts: Path, tmp_path: Path) -> None:
    policy = built(parts, tmp_path / "policy")
    (policy / "weights.npy").write_bytes((policy / "weights.npy").read_bytes()[:-8])
    refused = vinn(parts, "policy", "info", policy)
    assert refused.returncode == 2 and "weights.npy" in refused.stderr
    other = built(parts, tmp_path / "other")
    other_encoder = write_tiny_encoder(tmp_path / "encoder", gain=2.0)
    for file in other_encoder.iterdir():
        (other / "encoder" / file.name).write_bytes(file.read_bytes())
    refused = vinn(parts, "policy", "info", other)
    assert refused.returncode == 2 and "was built with hash" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "strength=-1"], "strength"),
        (["--set", "strenght=1"], "no setting of kind 'ridge'; allowed: strength, dimension"),
        (["--k", "3"], "no setting of kind 'ridge'"),
        (["--set", "strength"], "allowed: KEY=VALUE"),
    ],
)
def test_a_bad_setting_is_refused_and_nothing_is_left(
    arguments: list[str], message: str, parts: Path, tmp_path: Path
) -> None:
    result = vinn(
        parts, "policy", "build", parts / "demos", "--kind", "ridge", *arguments,
        "--encoder", parts / "encoder", "--out", tmp_path / "policy",
    )  # fmt: skip
    assert result.returncode == 2 and message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and list(tmp_path.iterdir()) == []


def test_a_kind_that_is_not_installed_is_named_with_those_that_are(
    parts: Path, tmp_path: Path
) -> None:
    policy = built(parts, tmp_path / "policy")
    for arguments in (["info", policy], ["verify", policy]):
        refused = vinn(parts, "policy", *arguments, installed=False)
        assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
        assert "manifest.json" in refused.stderr and "'ridge' is unknown; known: vinn, darp" in (
            refused.stderr
        )
    with pytest.raises(ArtefactError, match="'ridge' is unknown"):
        open_artefact(policy)
    built_of_none = vinn(
        parts, "policy", "build", parts / "demos", "--kind", "ridge", "--out", tmp_path / "no",
        installed=False,
    )  # fmt: skip
    assert built_of_none.returncode == 2 and "'ridge' is unknown" in built_of_none.stderr


def test_kinds_that_ship_write_what_earlier_versions_read(parts: Path, tmp_path: Path) -> None:
    """They refuse a manifest with a field that they do not know."""
    from vinn.demos.store import Dataset

    dataset = Dataset.open(parts / "demos")
    build_policy(dataset, parts / "encoder", tmp_path / "vinn", 3)
    POLICY_KINDS["random"].build(BuildRequest(dataset, tmp_path / "random", seed=3))
    known = (
        "schema_version kind name action_scale demonstration_count frame_count dataset_hash seed "
        "vinn parametric files provenance"
    )
    for name in ("vinn", "random"):
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert list(manifest) == known.split()
        open_artefact(tmp_path / name)


def test_a_method_that_weighs_neighbours_otherwise_is_a_kind_of_its_own(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vinn.demos.store import Dataset
    from vinn.policies.kinds.nearest import NearestKind, nearest
    from vinn.policies.kinds.vinn import build_nearest
    from vinn.policies.vinn import VinnPolicy

    class MedianPolicy(VinnPolicy):
        def combine(self, query, rows, weights):
            states = np.eye(4)[self.memory.gripper[rows]].mean(axis=0)
            return np.median(self.memory.camera_delta[rows], axis=0), states

    class MedianKind(NearestKind):
        name = "median"

        def load(self, artefact, options):
            return MedianPolicy(**nearest(artefact).parts(options))

        def build(self, request):
            return build_nearest(self.name, request)

    monkeypatch.setattr(POLICY_KINDS, "_added", {})
    POLICY_KINDS.add(MedianKind())
    dataset = Dataset.open(parts / "demos")
    request = BuildRequest(dataset, tmp_path / "median", parts / "encoder", {"k": 5})
    artefact = open_artefact(POLICY_KINDS["median"].build(request))
    assert artefact.manifest.kind == "median"
    prediction = artefact.policy().predict(square_image(0.4, 0.1))
    rows = [neighbor.index for neighbor in prediction.neighbors]
    assert len(rows) == 5
    median = np.median(artefact.memory.camera_delta[rows], axis=0)
    np.testing.assert_array_equal(prediction.camera_delta, median)


def test_every_kind_that_ships_names_itself_and_trained_ones_say_how(
    parts: Path, tmp_path: Path
) -> None:
    from vinn.demos.store import Dataset

    request = BuildRequest(Dataset.open(parts / "demos"), tmp_path / "x", parts / "encoder")
    for name in ("vinn", "darp", "bc", "ibc", "open_loop", "random"):
        assert POLICY_KINDS[name].name == name and POLICY_KINDS[name].title
    for name in ("bc", "ibc"):
        with pytest.raises(ConfigError, match="vinn train policy"):
            POLICY_KINDS[name].build(request)
