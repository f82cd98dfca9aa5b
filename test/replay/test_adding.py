"""Rollouts become demonstrations, and demonstrations join a policy without building it anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded_rollout import IMAGES, record_rollout
from tiny_encoder import write_square_demos
from vinn.cli.main import run
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.errors import ArtefactError, ArtefactMismatchError, DatasetError
from vinn.policies.artefact import load_policy, open_artefact
from vinn.policies.artefacts.edit import extend_policy
from vinn.policies.build import build_policy
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.recordings.rollout_demonstration import add_rollout, rollout_actions
from vinn.recordings.tracks import load_tracks
from vinn.robot.config import CameraMount
from vinn.robot.kinematics import base_R_gripper, gripper_R_camera
from vinn.rollout.label import RolloutLabel, write_label
from vinn.viz.timeline import load_timeline

LEVEL = CameraMount(tilt_rad=0.0, roll_rad=0.0)


def test_actions_are_what_was_sent_in_the_frame_of_the_image(rollout: Path) -> None:
    mount = CameraMount(tilt_rad=0.35, roll_rad=0.1)
    actions = rollout_actions(rollout, mount)
    timeline, tracks = load_timeline(rollout), load_tracks(rollout)
    # The first prediction has no image, and of the last step nobody saw the end.
    assert len(actions.images) == len(actions.gripper) >= IMAGES - 3
    sent = {s.sequence: s.sent_base_delta_m for s in tracks.steps}
    used = [
        step.sequence
        for step, prediction in timeline.steps_with_predictions()
        if timeline.image_of(prediction) is not None and step.sequence in sent
    ]
    base_R_camera = base_R_gripper(0.0) @ gripper_R_camera(mount)
    for row, sequence in zip(actions.camera_delta_m, used, strict=True):
        np.testing.assert_allclose(base_R_camera @ row, sent[sequence], atol=1e-12)


def test_with_a_level_camera_and_yaw_zero_forward_is_along_the_arm() -> None:
    base_R_camera = base_R_gripper(0.0) @ gripper_R_camera(LEVEL)
    np.testing.assert_allclose(base_R_camera @ [0, 0, 1], [0, -1, 0], atol=1e-12)


def test_only_successes_are_taken_unless_asked(square_policy: Path, tmp_path: Path) -> None:
    recording = record_rollout(tmp_path / "s.mcap", square_policy / "policy", success=False)
    with pytest.raises(DatasetError, match="ended by STEP_LIMIT; allowed: a success, or --force"):
        add_rollout(recording, tmp_path / "demos", LEVEL)
    add_rollout(recording, tmp_path / "demos", LEVEL, name="forced", force=True)
    write_label(tmp_path, RolloutLabel("s", True, "opened by hand"))
    folder = add_rollout(recording, tmp_path / "demos", LEVEL, scale=ActionScale.METRIC)
    meta = next(
        d.meta for d in Dataset.open(tmp_path / "demos").demonstrations if d.meta.name == "s"
    )
    assert folder.name == "s" and meta.provenance["note"] == "opened by hand"
    write_label(tmp_path, RolloutLabel("s", False))
    with pytest.raises(DatasetError, match="labelled a failure"):
        add_rollout(recording, tmp_path / "demos", LEVEL, name="again")
    killed = record_rollout(tmp_path / "killed.mcap", square_policy / "policy", close=False)
    # A copy that broke off must not claim how the rollout ended either.
    for whole in (killed, recording):
        cut = tmp_path / f"cut-{whole.name.partition('.')[0]}.mcap"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with pytest.raises(DatasetError, match="ended by incomplete"):
            add_rollout(cut, tmp_path / "demos", LEVEL)


def test_a_recording_that_lacks_messages_is_taken_only_when_forced(
    square_policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = record_rollout(tmp_path / "s.mcap", square_policy / "policy", lost=7)
    with pytest.raises(DatasetError, match="7 messages are missing"):
        add_rollout(recording, tmp_path / "demos", LEVEL)
    assert not (tmp_path / "demos").exists()
    assert add_rollout(recording, tmp_path / "demos", LEVEL, force=True).name == "s"
    assert run(["recordings", "info", str(recording), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ended_by"] == "SUCCESS, 7 messages lost"


def test_unit_scale_keeps_directions(rollout: Path, tmp_path: Path) -> None:
    folder = add_rollout(rollout, tmp_path, LEVEL, scale=ActionScale.UNIT)
    (demonstration,) = Dataset.open(tmp_path).demonstrations
    assert folder.name == "a"
    length = np.linalg.norm(demonstration.camera_delta, axis=1)
    assert np.all((np.abs(length - 1) < 1e-3) | (length == 0)) and (length > 0).any()


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Demonstrations 5 and 6 of those that the policy has 0 to 4 of."""
    root = tmp_path_factory.mktemp("more") / "demos"
    every = write_square_demos(root, 7)
    return every.only(*(d.meta.name for d in every.demonstrations[5:]))


def test_an_extended_policy_is_the_policy_built_of_all(
    square_policy: Path, more: Dataset, tmp_path: Path
) -> None:
    extended = open_artefact(extend_policy(square_policy / "policy", more, tmp_path / "extended"))
    everything = Dataset.open(more.root)
    built = open_artefact(
        build_policy(everything, square_policy / "encoder", tmp_path / "built", 6, 0.5)
    )
    assert extended.manifest.frame_count == built.manifest.frame_count
    assert extended.manifest.demonstration_count == 7
    np.testing.assert_array_equal(extended.embeddings, built.embeddings)
    np.testing.assert_array_equal(extended.memory.camera_delta, built.memory.camera_delta)
    one, other = extended.policy(), built.policy()
    for demonstration in everything.demonstrations:
        image = read_frame(demonstration.frame_paths[2])
        np.testing.assert_array_equal(
            one.predict(image).camera_delta, other.predict(image).camera_delta
        )
    for index in (0, 30, len(extended.memory) - 1):
        np.testing.assert_array_equal(extended.thumbnail(index), built.thumbnail(index))
    assert (
        extended.manifest.dataset_hash
        != open_artefact(square_policy / "policy").manifest.dataset_hash
    )
    assert load_policy(square_policy / "policy").predict(image).neighbors  # is as it was


def test_what_does_not_fit_is_refused_and_leaves_nothing(
    square_policy: Path, more: Dataset, tmp_path: Path
) -> None:
    own = Dataset.open(square_policy / "demos")
    with pytest.raises(ArtefactMismatchError, match=r"holds a demonstration .* already"):
        extend_policy(square_policy / "policy", own, tmp_path / "out")
    control = OPEN_LOOP.build(BuildRequest(own, tmp_path / "control"))
    with pytest.raises(ArtefactError, match="cannot be extended"):
        extend_policy(control, more, tmp_path / "out")
    with pytest.raises(DatasetError, match="no demonstration 'nobody'"):
        own.only("nobody")
    assert [p.name for p in tmp_path.iterdir()] == ["control"]


def test_command(square_policy: Path, rollout: Path, tmp_path: Path, capsys) -> None:
    arguments = ["demos", "add", str(rollout), "--to", str(tmp_path / "demos"), "--name", "new"]
    policy = ["--policy", str(square_policy / "policy"), "--out-policy", str(tmp_path / "p2")]
    assert run([*arguments, *policy[:2]]) == 2
    assert "give both or none" in capsys.readouterr().err
    assert run([*arguments, *policy]) == 0
    artefact = open_artefact(tmp_path / "p2")
    assert "new" in artefact.memory.names
    image = read_frame(tmp_path / "demos" / "new" / "frames" / "000003.jpg")
    nearest = artefact.policy().predict(image).neighbors[0]
    assert (nearest.demonstration, nearest.frame, nearest.distance) == ("new", 3, 0.0)
    assert run(arguments) == 2
    assert "exists already" in capsys.readouterr().err


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_command_that_was_killed_half_way_finishes_when_run_again(
    square_policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = square_policy / "policy"
    recording = record_rollout(tmp_path / "s.mcap", policy)
    command = ["demos", "add", str(recording), "--to", str(tmp_path / "demos"), "--force"]
    both = [*command, "--policy", str(policy), "--out-policy", str(tmp_path / "longer")]
    assert run(command) == 0  # as far as a killed one may have come
    assert run(both) == 0
    whole = contents(tmp_path)
    assert run(both) == 0  # killed after its last write
    assert contents(tmp_path) == whole
    frames = len(rollout_actions(recording, CameraMount()).images)
    assert Dataset.open(tmp_path / "demos").frame_count == frames
    capsys.readouterr()
    # Without a policy to finish, the same rollout twice is a mistake.
    assert run(command) == 2
    assert "exists already" in capsys.readouterr().err


def test_another_rollout_or_policy_of_that_name_is_not_taken_for_it(
    square_policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = square_policy / "policy"
    first = record_rollout(tmp_path / "a" / "s.mcap", policy)
    other = record_rollout(tmp_path / "b" / "s.mcap", policy, success=False)
    to = ["--to", str(tmp_path / "demos"), "--force", "--policy", str(policy), "--out-policy"]
    assert run(["demos", "add", str(first), *to, str(tmp_path / "longer")]) == 0
    before = contents(tmp_path)
    capsys.readouterr()
    for arguments in (
        ["demos", "add", str(other), *to, str(tmp_path / "again")],  # another s
        [
            "demos",
            "add",
            str(first),
            "--name",
            "t",
            *to,
            str(tmp_path / "longer"),
        ],  # of s
        ["demos", "add", str(first), "--name", "t", *to, str(tmp_path / "demos")],  # no policy
    ):
        assert run(arguments) == 2
        assert capsys.readouterr().err.startswith("vinn: error: ")
        assert contents(tmp_path) == before


BAD_NAMES = ["kitchen door", "", "a/b", "../up", ".hidden", "-dash", "Küche", "x" * 300, "a\nb"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_one_line(
    rollout: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run(["demos", "add", str(rollout), "--to", str(tmp_path / "demos"), f"--name={name}"])
    error = capfd.readouterr().err.strip()
    assert code == 2 and error.startswith("vinn: error: demonstration's name") and "\n" not in error
    assert not list(tmp_path.iterdir())


def test_a_recording_whose_name_makes_no_name_asks_for_one(
    square_policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recording = record_rollout(tmp_path / "kitchen door.mcap", square_policy / "policy")
    command = ["demos", "add", str(recording), "--to", str(tmp_path / "demos"), "--force"]
    assert run(command) == 2
    assert "'kitchen door'; allowed" in capfd.readouterr().err
    assert run([*command, "--name", "kitchen"]) == 0


def test_what_the_operator_drove_is_known_and_can_be_taken_alone(
    square_policy: Path, tmp_path: Path
) -> None:
    by_hand = range(6, 10)
    recording = record_rollout(tmp_path / "s.mcap", square_policy / "policy", driven=by_hand)
    timeline = load_timeline(recording)
    # Step i + 2 was decided on image i.
    assert [asked.sequence for asked in timeline.driven] == [i + 2 for i in by_hand]
    asked = {step.sequence: said for step, said in timeline.steps_with_predictions()}
    assert all(asked[said.sequence] is said for said in timeline.driven)
    actions = rollout_actions(recording, LEVEL)
    assert int(actions.driven.sum()) == len(by_hand)
    corrected = add_rollout(recording, tmp_path / "demos", LEVEL, driven_only=True)
    whole = add_rollout(recording, tmp_path / "demos", LEVEL, name="whole")
    found = {d.meta.name: d for d in Dataset.open(tmp_path / "demos").demonstrations}
    mine, all_of_it = found[corrected.name], found[whole.name]
    assert len(mine.camera_delta) == len(by_hand)
    assert mine.meta.provenance["driven_frames"] == [0, 1, 2, 3]
    frames = all_of_it.meta.provenance["driven_frames"]
    np.testing.assert_array_equal(mine.camera_delta, all_of_it.camera_delta[frames])
    np.testing.assert_array_equal(
        read_frame(mine.frame_paths[0]), read_frame(all_of_it.frame_paths[frames[0]])
    )


def test_a_rollout_that_nobody_drove_has_no_corrections(rollout: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no step was driven by hand"):
        add_rollout(rollout, tmp_path / "demos", LEVEL, driven_only=True)
    assert not (tmp_path / "demos").exists()
    command = ["demos", "add", str(rollout), "--to", str(tmp_path / "demos"), "--driven-only"]
    assert run(command) == 2
