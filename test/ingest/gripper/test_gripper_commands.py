"""`vinn gripper train` and `apply`, from labelled clips to a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_gripper import gripper_picture
from vinn.cli.main import run
from vinn.demos.store import Dataset
from vinn.demos.types import GripperState
from vinn.ingest.clip import ClipFolder
from vinn.ingest.decode import SampledFrame
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.motion.steps import Assessment, Step, StepReason

PROFILE = CameraProfile(name="small", lens=Lens.pinhole(160, 120, 60))
CROP = "0,0.3,1,1"
STATES = [0, 0, 1, 2, 3, 3, 2, 1, 0, 0]


def clip(work: Path, name: str, seed: int, labelled: bool, failure: str | None = None) -> None:
    """A clip of one frame a step, as `vinn ingest` leaves it."""
    rng = np.random.default_rng(seed)
    folder = ClipFolder(work / name)
    folder.start(
        {
            "video": f"{name}.mp4",
            "video_sha256": "0" * 64,
            "profile": PROFILE.model_dump(mode="json"),
            "stored_lens": PROFILE.stored_lens.model_dump(mode="json"),
            "settings": {"frames_per_step": 1, "action_rate_hz": 1.0},
        }
    )
    images = [gripper_picture(state, rng) for state in STATES]
    folder.write_frames((SampledFrame(i, float(i), m), None, 1.0) for i, m in enumerate(images))
    steps = tuple(
        Step(i, i, StepReason.KEPT, (0.0, 0.0, 1.0), 1.0, 1.0, 1.0, 99, 1.0)
        for i in range(len(STATES) - 1)
    )
    folder.write_assessment(Assessment(steps, failure, {"frames": float(len(STATES))}))
    if labelled:
        folder.write_gripper("manual", {i: GripperState(s) for i, s in enumerate(STATES)})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    root = tmp_path / "data.ingest"
    for seed in range(20):
        clip(root, f"labelled-{seed:02d}", seed, labelled=True)
    clip(root, "new", 100, labelled=False)
    clip(root, "rejected", 101, labelled=False, failure="made up")
    return root


@pytest.mark.slow
def test_train_then_apply(work: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, data = tmp_path / "gripper.npz", tmp_path / "data"
    assert run(["gripper", "train", str(work), "--out", str(model), "--crop", CROP]) == 0
    said = " ".join(capfd.readouterr().out.split())
    # A quarter of the clips is held out, whole; what is written has learnt from all.
    assert "held out: 5 clips, 50 frames" in said and "200 labels of 20 clips" in said
    # One label of a labelled clip is made wrong: a person's word stays all the same.
    manual = ClipFolder(work / "labelled-00")
    manual.write_gripper("manual", {**manual.gripper_states, 1: GripperState.CLOSED})
    assert run(["gripper", "apply", str(work), str(model), "--dataset", str(data)]) == 0
    found = {d.meta.name: d for d in Dataset.open(data).demonstrations}
    assert "rejected" not in found and len(found) == 21
    # A step goes in with the state at its end.
    assert found["new"].gripper.tolist() == STATES[1:]
    assert found["new"].meta.provenance["gripper"] == "classifier"
    assert found["labelled-00"].gripper[0] == GripperState.CLOSED
    assert found["labelled-00"].meta.provenance["gripper"] == "manual"
    again = ["gripper", "apply", str(work), str(model), "--dataset", str(data), "--relabel"]
    assert run(again) == 0
    relabelled = Dataset.open(data).only("labelled-00").demonstrations[0]
    assert relabelled.gripper[0] == GripperState.OPEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "WORK", "--out", "m.npz"], "no gripper_mask"),
        (["train", "WORK", "--out", "m.npz", "--crop", "a,b"], "expected four numbers"),
        (["train", "WORK", "--out", "m.npz", "--crop", "0.5,0,0.4,1"], "expected left, top"),
        (["train", "nowhere", "--out", "m.npz"], "no ingested clips"),
        (["apply", "WORK", "missing.npz", "--dataset", "d"], "missing.npz"),
        (["apply", "WORK", "model.onnx", "--dataset", "d"], "expected a classifier"),
    ],
)
def test_refusals(
    arguments: list[str],
    message: str,
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["gripper", *(str(work) if a == "WORK" else a for a in arguments)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.ingest"]
