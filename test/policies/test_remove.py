"""A policy without some demonstrations is the one that never had them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.demos.store import Dataset
from vinn.errors import ArtefactError, ConfigError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.edit import extend_policy, remove_demonstrations
from vinn.policies.augmentation import MIRRORED, ORIGINAL
from vinn.policies.build import build_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.policies.novelty import NoveltyMeasure

NAMES = [f"square_{index}" for index in range(6)]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """encoder/, demos/ and policy/ of six demonstrations in two views."""
    root = tmp_path_factory.mktemp("parts")
    write_tiny_encoder(root / "encoder")
    write_square_demos(root / "demos", 6)
    build(root, root / "policy", NAMES)
    return root


def build(root: Path, out: Path, names: list[str], **options: object) -> Path:
    dataset = Dataset.open(root / "demos").only(*names)
    given = {"views": (ORIGINAL, MIRRORED), **options}
    return build_policy(dataset, root / "encoder", out, 4, 0.5, **given)  # type: ignore[arg-type]


def assert_same_answers(first: Path, second: Path) -> None:
    one, other = load_policy(first), load_policy(second)
    for x in np.linspace(0.05, 0.95, 7):
        image = square_image(x, 1 - x)
        expected, found = one.predict(image), other.predict(image)
        np.testing.assert_array_equal(found.camera_delta, expected.camera_delta)
        np.testing.assert_array_equal(found.gripper_value, expected.gripper_value)
        np.testing.assert_allclose(found.novelty, expected.novelty, rtol=1e-6)
        assert [(n.demonstration, n.frame, n.distance) for n in found.neighbors] == [
            (n.demonstration, n.frame, n.distance) for n in expected.neighbors
        ]


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(removed=st.sets(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_removing_is_never_having_had_them(
    parts: Path, tmp_path_factory: pytest.TempPathFactory, removed: set[str]
) -> None:
    work = tmp_path_factory.mktemp("removed")
    shorter = remove_demonstrations(parts / "policy", sorted(removed), work / "shorter")
    rest = build(parts, work / "rest", [name for name in NAMES if name not in removed])
    assert_same_answers(rest, shorter)
    found, expected = open_artefact(shorter), open_artefact(rest)
    for row in (0, len(expected.memory) - 1):
        np.testing.assert_array_equal(found.thumbnail(row), expected.thumbnail(row))


@pytest.mark.parametrize("novelty", list(NoveltyMeasure))
def test_adding_then_removing_changes_nothing(
    parts: Path, tmp_path: Path, novelty: NoveltyMeasure
) -> None:
    policy = build(parts, tmp_path / "policy", NAMES[:4], novelty=novelty)
    added = Dataset.open(parts / "demos").only(*NAMES[4:])
    longer = extend_policy(policy, added, tmp_path / "longer")
    back = remove_demonstrations(longer, NAMES[4:], tmp_path / "back")
    assert_same_answers(policy, back)
    assert open_artefact(longer).manifest.demonstration_count == 6
    assert open_artefact(back).manifest.demonstration_count == 4


def test_the_index_follows(parts: Path, tmp_path: Path) -> None:
    policy = Path(shutil.copytree(parts / "policy", tmp_path / "policy"))
    assert run(["policy", "index", str(policy), "--kind", "projected"]) == 0
    assert run(["policy", "remove", str(policy), NAMES[2], "--out", str(tmp_path / "out")]) == 0
    plain = remove_demonstrations(parts / "policy", [NAMES[2]], tmp_path / "plain")
    one, other = load_policy(plain), load_policy(tmp_path / "out")
    for x in (0.2, 0.5, 0.8):
        expected, found = one.predict(square_image(x, x)), other.predict(square_image(x, x))
        assert [n.index for n in found.neighbors] == [n.index for n in expected.neighbors]
    names = set(open_artefact(tmp_path / "out").memory.names)
    assert not any(name.startswith(NAMES[2]) for name in names)


def test_what_cannot_be_removed_is_refused(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no demonstration 'kitchen'"):
        remove_demonstrations(parts / "policy", ["kitchen"], out)
    with pytest.raises(ConfigError, match="0 frames would stay"):
        remove_demonstrations(parts / "policy", NAMES, out)
    control = OPEN_LOOP.build(BuildRequest(Dataset.open(parts / "demos"), tmp_path / "control"))
    with pytest.raises(ArtefactError, match="open_loop"):
        remove_demonstrations(control, NAMES[:1], out)
    assert not out.exists()
