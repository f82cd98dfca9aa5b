"""The detector of grasp points, from demonstrations of the simulated robot to an opened door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vinn.demos.frames import read_frame
from vinn.demos.hindsight import of_demonstration
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.encoders.artefact import read_manifest
from vinn.errors import ArtefactMismatchError, ConfigError, DatasetError
from vinn.learning.config import GraspPointConfig
from vinn.learning.grasp.frames import approach_axes, approach_frames, grasp_camera
from vinn.learning.grasp.planes import with_planes
from vinn.learning.grasp.training import train_grasp_point
from vinn.learning.grasp.views import ApproachFrame, gripper_mask, labelled_views
from vinn.paper.grasp.detectors import robot_of_actions
from vinn.policies.grasp.detector import MANIFEST_FILE, GraspCamera, load_detector
from vinn.robot.config import CameraMount, RobotConfig
from vinn.tasks.data import unit_actions

ROBOT = RobotConfig()
SIDE_PX = 96


def flat_camera() -> GraspCamera:
    return GraspCamera(
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        fx_px=70.0,
        fy_px=70.0,
        cx_px=47.5,
        cy_px=47.5,
        hand=(0.0, 0.022, 0.19),
    )


def spot(pixel: np.ndarray) -> np.ndarray:
    """A grey image with a bright spot at a pixel."""
    x, y = np.meshgrid(np.arange(SIDE_PX), np.arange(SIDE_PX))
    bright = 200 * np.exp(-((x - pixel[0]) ** 2 + (y - pixel[1]) ** 2) / 8)
    return np.clip(40 + bright[..., None], 0, 255).astype(np.uint8).repeat(3, axis=2)


def test_made_up_views_show_the_point_where_their_label_says() -> None:
    camera = flat_camera()
    ways = [np.array([x, y, 0.13]) for x in (-0.03, 0.0, 0.03) for y in (-0.05, -0.02)]
    frames = [ApproachFrame(spot(camera.project(np.array(camera.hand) + w)), w, 0) for w in ways]
    views = labelled_views(frames, camera, approach_axes(ROBOT), 1.0, 6, True, seed=1)
    assert len(views.images_rgb) == len(frames) * 8
    far = []
    for image, pixel, way in zip(views.images_rgb, views.pixels, views.to_change, strict=True):
        inside = ((pixel > 4) & (pixel < SIDE_PX - 5)).all()
        if not inside:
            continue
        column, row = np.round(pixel).astype(int)
        light = image.astype(float).sum(axis=2)
        around = light[row - 3 : row + 4, column - 3 : column + 4]
        assert around.max() >= np.quantile(light, 0.995)
        far.append(way[2])
    assert len(far) > 30
    assert np.ptp(far) > 0.1, "views from near and from far"


def test_the_gripper_is_what_stays_the_same() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(40):
        image = rng.integers(0, 255, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        image[60:, 20:40] = image[60:, 60:80] = 70
        frames.append(np.clip(image * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8))
    mask = gripper_mask(frames)
    assert mask[70:, 25:35].all()
    assert mask[70:, 65:75].all()
    assert mask[:40].mean() < 0.02
    assert mask[70:, 46:54].mean() < 0.3


def test_it_sees_where_the_gripper_will_close(
    door_demonstrations: Path, door_detector: Path
) -> None:
    detector = load_detector(door_detector)
    camera, hand = detector.manifest.camera, np.array(detector.manifest.camera.hand)
    off, depth = [], []
    for demonstration in Dataset.open(door_demonstrations).demonstrations:
        labels = of_demonstration(demonstration)
        for frame in np.flatnonzero(labels.labelled & (labels.phase == 0))[::3]:
            view = detector.look(read_frame(demonstration.frame_paths[frame]))
            assert np.exp(view.log_heat[0]).sum() == pytest.approx(1.0)
            assert np.exp(view.log_hand).sum() == pytest.approx(1.0)
            cell = np.unravel_index(view.log_heat[0].argmax(), view.log_heat[0].shape)
            seen = (np.array([cell[1], cell[0]]) + 0.5) * 8 - 0.5
            there = hand + labels.to_change[frame]
            off.append(np.abs(seen - camera.project(there)).max())
            depth.append(abs(float(view.log_depth[0]) - np.log(there[2])))
    assert np.median(off) < 8, "within a cell"
    assert np.median(depth) < 0.1


def test_it_runs_as_a_network_of_its_own_without_torch(
    lite0_encoder: Path, door_detector: Path
) -> None:
    network = read_manifest(door_detector)
    assert network.provenance["max_abs_difference_to_numpy"] < 1e-2
    assert network.provenance["made_from"]["hash"] == read_manifest(lite0_encoder).hash
    changed = door_detector / MANIFEST_FILE
    text = changed.read_text()
    try:
        changed.write_text(text.replace(network.hash, "0" * 64))
        with pytest.raises(ArtefactMismatchError, match=r"grasp_point\.json is of 000000000000"):
            load_detector(door_detector)
    finally:
        changed.write_text(text)


def test_the_camera_is_the_demonstrations_and_the_robots(
    door_demonstrations: Path, lite0_encoder: Path
) -> None:
    dataset, encoder = Dataset.open(door_demonstrations), read_manifest(lite0_encoder)
    camera = grasp_camera(dataset, encoder, ROBOT, 1.0)
    meta = dataset.demonstrations[0].meta.camera
    assert meta.fx_px is not None
    assert camera.fx_px == pytest.approx(meta.fx_px * 224 / meta.width_px)
    mount = ROBOT.camera
    assert np.linalg.norm(camera.hand) == pytest.approx(
        np.linalg.norm([mount.right_m, mount.forward_m, mount.up_m])
    )
    level = ROBOT.model_copy(update={"camera": CameraMount(tilt_rad=0.0)})
    assert grasp_camera(dataset, encoder, level, 1.0).hand == pytest.approx(
        (-mount.right_m, mount.up_m, -mount.forward_m)
    )
    in_steps = grasp_camera(dataset, encoder, ROBOT, 0.025)
    assert np.array(in_steps.hand) * 0.025 == pytest.approx(camera.hand)


def test_what_cannot_be_learned_from_is_refused_by_name(
    door_demonstrations: Path, lite0_encoder: Path, tmp_path: Path
) -> None:
    dataset, encoder = Dataset.open(door_demonstrations), read_manifest(lite0_encoder)
    first = dataset.demonstrations[0]
    blind = first.meta.camera.model_copy(update={"fx_px": None})
    without = replace(
        dataset,
        demonstrations=(
            replace(first, meta=first.meta.model_copy(update={"camera": blind})),
            *dataset.demonstrations[1:],
        ),
    )
    with pytest.raises(DatasetError, match=rf"{first.meta.name}/meta.json: camera: no intrinsics"):
        train_grasp_point(without, lite0_encoder, tmp_path / "a", ROBOT)
    zoomed = first.meta.camera.model_copy(update={"fx_px": 500.0})
    other = replace(
        dataset,
        demonstrations=(
            *dataset.demonstrations[1:],
            replace(first, meta=first.meta.model_copy(update={"camera": zoomed})),
        ),
    )
    with pytest.raises(DatasetError, match="a detector has one camera"):
        train_grasp_point(other, lite0_encoder, tmp_path / "b", ROBOT)
    open_hands = replace(
        dataset,
        demonstrations=tuple(
            replace(d, gripper=np.zeros_like(d.gripper)) for d in dataset.demonstrations
        ),
    )
    with pytest.raises(DatasetError, match="no grasp point: of 16 demonstrations 0 close"):
        approach_frames(open_hands, encoder)
    with pytest.raises(ConfigError, match=r"motion\.action_scale = metric"):
        train_grasp_point(unit_actions(dataset), lite0_encoder, tmp_path / "c", ROBOT)
    assert list(tmp_path.iterdir()) == []


def test_actions_of_length_one_give_points_in_steps(
    door_demonstrations: Path, lite0_encoder: Path, tmp_path: Path
) -> None:
    dataset = unit_actions(Dataset.open(door_demonstrations))
    few = replace(dataset, demonstrations=dataset.demonstrations[:3])
    out = train_grasp_point(
        few,
        lite0_encoder,
        tmp_path / "detector",
        robot_of_actions(ActionScale.UNIT, 0.025),
        GraspPointConfig(copies=0, passes=1, least_steps=1),
    )
    manifest = load_detector(out).manifest
    assert manifest.action_scale is ActionScale.UNIT
    assert manifest.unit_m == pytest.approx(0.025)
    assert 2 < manifest.phases[0].mean[2] < 15, "steps, not metres"


def test_the_plane_around_the_point_is_measured_on_the_demonstrations(door_detector: Path) -> None:
    """A door lies behind the place where its handle is grasped."""
    plane = load_detector(door_detector).manifest.phases[0].plane
    assert plane is not None
    assert 0.02 < plane.behind < 0.06
    assert plane.std < 0.02
    hand = np.array([[cell == "#" for cell in row] for row in plane.hand_cells])
    assert hand[-4:].mean() > 0.3, "the gripper reaches in from below"
    assert hand.mean() < 0.8, "and leaves something to be seen"


@pytest.mark.parametrize("case", ["camera stands", "other scenes", "moves lie", "few"])
def test_where_demonstrations_show_no_plane_there_is_none(
    case: str, door_demonstrations: Path, lite0_encoder: Path
) -> None:
    dataset, encoder = Dataset.open(door_demonstrations), read_manifest(lite0_encoder)
    camera = grasp_camera(dataset, encoder, ROBOT, 1.0)
    frames, phases = approach_frames(dataset, encoder)
    rng = np.random.default_rng(5)
    paths = [path for d in dataset.demonstrations for path in d.frame_paths]
    changed = []
    for d in dataset.demonstrations[: 3 if case == "few" else None]:
        if case == "camera stands":
            d = replace(d, frame_paths=(d.frame_paths[0],) * len(d))
        elif case == "other scenes":
            some = tuple(paths[i] for i in rng.integers(len(paths), size=len(d)))
            d = replace(d, frame_paths=some)
        elif case == "moves lie":
            scales = 10 ** rng.uniform(-0.5, 0.5, (1, 1))
            d = replace(d, camera_delta=(d.camera_delta * scales).astype(np.float32))
        changed.append(d)
    found = with_planes(
        phases,
        replace(dataset, demonstrations=tuple(changed)),
        encoder,
        frames,
        camera,
        approach_axes(ROBOT)[2],
        1.0,
    )
    assert all(phase.plane is None for phase in found)
    assert [phase.mean for phase in found] == [phase.mean for phase in phases]
