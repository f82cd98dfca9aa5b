"""`vinn demos|encoder|policy`: results on stdout, one line and exit code 2 for a user's error."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.selection import select_k_and_bandwidth


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    write_square_demos(root / "demos", 5)
    write_tiny_encoder(root / "encoder")
    arguments = ["policy", "build", root / "demos", "--encoder", root / "encoder"]
    assert run([*map(str, arguments), "--out", str(root / "policy"), "--k", "5"]) == 0
    return root


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run, and return the one line that a user's error must be."""
    capsys.readouterr()
    assert run([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert lines[0].startswith("vinn: error: ")
    return lines[0]


def test_help_lists_areas_without_importing_them() -> None:
    script = (
        "import sys; from vinn.cli.main import run; run(['--help'])\n"
        "print([m for m in ('torch', 'mujoco', 'faiss', 'openvino', 'pyarrow') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip().endswith("[]")
    for area in ("demos", "encoder", "policy", "sim"):
        assert area in done.stdout


def test_demos_info_and_validate(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demos", "info", str(parts / "demos")]) == 0
    text = capsys.readouterr().out
    assert "square: 5" in text
    assert "40" in text
    assert run(["demos", "validate", str(parts / "demos")]) == 0
    assert "5 good demonstrations, 40 good frames, 0 problems" in capsys.readouterr().out


def test_demos_split_writes_readable_datasets(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    arguments = ["demos", "split", str(parts / "demos"), "--parts", "train=0.6,test=0.4"]
    assert run([*arguments, "--out", str(out)]) == 0
    names = {part: {p.name for p in (out / part).iterdir()} for part in ("train", "test")}
    assert len(names["train"]) == 3
    assert len(names["test"]) == 2
    assert not names["train"] & names["test"]
    assert run(["demos", "validate", str(out / "train")]) == 0


def test_encoder_info(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["encoder", "info", str(parts / "encoder")]) == 0
    assert "48" in capsys.readouterr().out


def test_policy_predict_prints_json(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = parts / "demos/square_1/frames/000002.jpg"
    capsys.readouterr()
    assert run(["policy", "predict", str(parts / "policy"), str(frame)]) == 0
    prediction = json.loads(capsys.readouterr().out)
    assert len(prediction["neighbors"]) == 5
    assert prediction["neighbors"][0]["demonstration"] == "square_1"
    assert prediction["neighbors"][0]["frame"] == 2
    assert prediction["novelty"] == 0


def test_policy_build_select_keeps_the_choice(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "policy"
    arguments = ["policy", "build", parts / "demos", "--encoder", parts / "encoder", "--select"]
    assert run([*map(str, arguments), "--out", str(out)]) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert "leave one demonstration out" in capsys.readouterr().out
    artefact = open_artefact(out)
    memory = artefact.memory
    expected = select_k_and_bandwidth(
        artefact.embeddings, memory.camera_delta, memory.demonstration_ids, gripper=memory.gripper
    )
    assert manifest["vinn"]["k"] == expected.k
    assert manifest["vinn"]["bandwidth"] == pytest.approx(expected.bandwidth)
    assert manifest["provenance"]["selection"]["score"] == pytest.approx(expected.rows[0].score)


def test_no_demonstrations(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "policy"
    line = fails(capsys, "policy", "build", empty, "--encoder", parts / "encoder", "--out", out)
    assert str(empty) in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty"]


def test_truncated_frame(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demos = Path(shutil.copytree(parts / "demos", tmp_path / "demos"))
    frame = demos / "square_2/frames/000005.jpg"
    frame.write_bytes(frame.read_bytes()[:100])
    out = tmp_path / "policy"
    line = fails(capsys, "policy", "build", demos, "--encoder", parts / "encoder", "--out", out)
    assert "square_2/frames/000005.jpg" in line
    assert "truncated" in line
    assert "000005.jpg" in fails(capsys, "demos", "validate", demos)
    assert "truncated" in fails(capsys, "policy", "predict", parts / "policy", frame)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demos"]


def test_k_larger_than_the_number_of_frames(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(
        capsys,
        "policy",
        "build",
        parts / "demos",
        "--encoder",
        parts / "encoder",
        "--out",
        tmp_path / "policy",
        "--k",
        41,
    )
    assert "41" in line
    assert "40" in line
    assert list(tmp_path.iterdir()) == []


def test_artefact_from_another_encoder(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = Path(shutil.copytree(parts / "policy", tmp_path / "policy"))
    shutil.rmtree(policy / "encoder")
    write_tiny_encoder(policy / "encoder", gain=2.0)
    assert "was built with hash" in fails(capsys, "policy", "info", policy)


def test_unknown_preset_and_unknown_key(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = ("policy", "build", parts / "demos", "--encoder", parts / "encoder")
    out = tmp_path / "policy"
    line = fails(capsys, *build, "--out", out, "--preset", "vin")
    assert "'vin' is unknown" in line
    preset = tmp_path / "mine.yaml"
    preset.write_text("k: 5\nbandwith: 2.0\n")
    line = fails(capsys, *build, "--out", out, "--preset", preset)
    assert "mine.yaml" in line
    assert "bandwith" in line
    preset.write_text("k: 0\n")
    assert "k" in fails(capsys, *build, "--out", out, "--preset", preset)
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["policy", "build", "--nonsense"],
        ["demos", "nonsense"],
        ["nonsense"],
        ["demos", "split", "x", "--seed", "half"],
        ["encoder", "export", "vgg", "--out", "never"],
        ["policy", "info", "nowhere"],
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fails(capsys, *arguments)


def test_missing_extra_is_named_with_its_remedy() -> None:
    script = (
        "import sys; sys.modules['mujoco'] = sys.modules['torchvision'] = None\n"
        "from vinn.cli.main import run\n"
        "run(['sim', '--help'])\n"
        "print(run(['encoder', 'export', 'resnet18', '--out', 'never']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    simulation, export = done.stderr.splitlines()
    assert "pip install 'vinn[sim]'" in simulation
    assert "pip install 'vinn[train]'" in export
    assert done.stdout.splitlines()[-1] == "2"


@pytest.mark.parametrize("method", ["byol", "simclr", "vicreg", "bc", "bc-rep", "ibc"])
def test_training_without_torch_names_its_extra(method: str, parts: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['lightning'] = None\n"
        "from vinn.cli.main import run\n"
        f"arguments = ['train', {method!r}, {str(parts / 'demos')!r}]\n"
        f"sys.exit(run([*arguments, '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "extra 'train': pip install 'vinn[train]'; in a checkout: make develop" in line
    assert not (tmp_path / "out").exists()


def test_full_disk_is_one_line_and_leaves_nothing(
    parts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vinn.policies.build.np.save", full)
    out = tmp_path / "policy"
    line = fails(
        capsys, "policy", "build", parts / "demos", "--encoder", parts / "encoder", "--out", out
    )
    assert "No space left" in line
    assert list(tmp_path.iterdir()) == []


def test_errors_that_are_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("vinn.cli.demos.Dataset.open", bug)
    with pytest.raises(ValueError, match="a bug"):
        run(["demos", "info", "anywhere"])


def test_preset_with_switches_is_built_and_shown(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demos, encoder = parts / "demos", parts / "encoder"
    preset = tmp_path / "mine.yaml"
    preset.write_text("select: true\nmirrored: true\ncontext: 2\nprogress: {width: 0.3}\n")
    out = tmp_path / "policy"
    arguments = ["policy", "build", demos, "--encoder", encoder, "--preset", preset, "--out", out]
    assert run([str(a) for a in arguments]) == 0
    shown = capsys.readouterr().out
    assert "leave one demonstration out" in shown
    assert "original, mirrored" in shown
    assert "2 frames" in shown
    manifest = open_artefact(out).manifest
    assert manifest.provenance["preset"] == str(preset)
    assert "selection" in manifest.provenance

    fixed = [*arguments[:-1], tmp_path / "fixed", "--k", 3, "--bandwidth", 0.5]
    assert run([str(a) for a in fixed]) == 0
    settings = open_artefact(tmp_path / "fixed").settings
    assert settings is not None
    assert (settings.k, settings.bandwidth) == (3, 0.5)


def test_difference_aware_policy_is_trained_and_runs_without_torch(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="needs the 'train' extra")
    from vinn.learning import darp_training

    short = darp_training.DarpConfig(k=3, hidden=(16,), steps=5)
    monkeypatch.setattr(darp_training, "DarpConfig", lambda **_: short)
    preset = tmp_path / "three.yaml"
    preset.write_text("k: 3\n")
    arguments = ["policy", "build", parts / "demos", "--encoder", parts / "encoder"]
    out = tmp_path / "darp"
    assert (
        run([*map(str, arguments), "--kind", "darp", "--preset", str(preset), "--out", str(out)])
        == 0
    )
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from vinn.policies.artefact import load_policy\n"
        f"policy = load_policy(__import__('pathlib').Path({str(out)!r}))\n"
        "print(len(policy.predict(np.zeros((20, 20, 3), np.uint8)).neighbors))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "3"
