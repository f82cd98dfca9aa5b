"""What a detector of grasp points learns from: the demonstrations' camera and labelled frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.hindsight import of_demonstration
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.encoders.artefact import EncoderManifest
from vinn.errors import ConfigError, DatasetError
from vinn.learning.grasp.views import ApproachFrame
from vinn.policies.grasp.detector import GraspCamera, PhasePrior
from vinn.robot.config import RobotConfig
from vinn.robot.kinematics import gripper_R_camera

FEWEST_FRAMES = 3
"""Frames before a change, on average over the demonstrations, for a phase to be learned."""
INTRINSICS_TOLERANCE = 0.01


def approach_axes(robot: RobotConfig) -> NDArray[np.float64]:
    """(3, 3) the gripper's axes right, up and forward as rows, in the camera's optical axes."""
    right, forward, up = gripper_R_camera(robot.camera)
    return np.stack([right, up, forward])


def grasp_camera(
    dataset: Dataset, encoder: EncoderManifest, robot: RobotConfig, unit_m: float
) -> GraspCamera:
    """The camera of all demonstrations, as the encoder's input sees it.

    Raises:
        DatasetError: intrinsics are missing or differ between demonstrations.
        ConfigError: the encoder crops its input.
    """
    prepare = encoder.preprocessing
    if prepare.crop is not None:
        raise ConfigError(f"encoder {encoder.name}: crops its input; allowed: one that does not")
    first: NDArray[np.float64] | None = None
    for demonstration in dataset.demonstrations:
        seen, name = demonstration.meta.camera, demonstration.meta.name
        known = (seen.fx_px, seen.fy_px, seen.cx_px, seen.cy_px)
        if None in known:
            raise DatasetError(
                f"{dataset.root / name}/meta.json: camera: no intrinsics (fx_px, fy_px, cx_px, "
                "cy_px); the detector needs them"
            )
        across, down = prepare.width_px / seen.width_px, prepare.height_px / seen.height_px
        fx, fy, cx, cy = (float(value) for value in known if value is not None)
        scaled = np.array(
            [fx * across, fy * down, (cx + 0.5) * across - 0.5, (cy + 0.5) * down - 0.5]
        )
        if first is None:
            first = scaled
        elif not np.allclose(scaled, first, rtol=INTRINSICS_TOLERANCE, atol=1.0):
            raise DatasetError(
                f"{dataset.root / name}/meta.json: camera: {_figures(scaled)} px at the encoder's "
                f"input, the first demonstration has {_figures(first)}; a detector has one camera"
            )
    if first is None:
        raise DatasetError(f"{dataset.root}: no demonstration with actions")
    mount = robot.camera
    gripper_p_camera_m = np.array([mount.right_m, mount.forward_m, mount.up_m])
    hand = gripper_R_camera(mount).T @ -gripper_p_camera_m / unit_m
    return GraspCamera(
        width_px=prepare.width_px,
        height_px=prepare.height_px,
        fx_px=first[0],
        fy_px=first[1],
        cx_px=first[2],
        cy_px=first[3],
        hand=vector(hand),
    )


def approach_frames(
    dataset: Dataset, encoder: EncoderManifest
) -> tuple[list[ApproachFrame], tuple[PhasePrior, ...]]:
    """Frames that know where the gripper changes next, and how far that is when a phase begins.

    Phases count from the first on, as long as enough of the demonstrations have them.

    Raises:
        DatasetError: no demonstration closes the gripper.
    """
    found: dict[int, list[tuple[Path, NDArray[np.float64]]]] = {}
    begins: dict[int, list[NDArray[np.float64]]] = {}
    for demonstration in dataset.demonstrations:
        labels = of_demonstration(demonstration)
        for frame in np.flatnonzero(labels.labelled):
            phase = int(labels.phase[frame])
            way = labels.to_change[frame]
            found.setdefault(phase, []).append((demonstration.frame_paths[frame], way))
            if frame == 0 or labels.phase[frame - 1] != phase:
                begins.setdefault(phase, []).append(way)
    priors: list[PhasePrior] = []
    while len(found.get(len(priors), ())) >= FEWEST_FRAMES * max(1, len(dataset) // 2):
        ways = np.array(begins.get(len(priors)) or [w for _, w in found[len(priors)]])
        mean, std = ways.mean(axis=0), ways.std(axis=0)
        priors.append(PhasePrior(mean=vector(mean), std=vector(std)))
    if not priors:
        raise DatasetError(
            f"{dataset.root}: no grasp point: of {len(dataset)} demonstrations "
            f"{sum(bool(of_demonstration(d).changes) for d in dataset.demonstrations)} close the "
            f"gripper, with {len(found.get(0, ()))} frames before it"
        )
    frames = [
        ApproachFrame(encoder.preprocessing.resize(read_frame(path)), way, phase)
        for phase in range(len(priors))
        for path, way in found[phase]
    ]
    return frames, tuple(priors)


def vector(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Three numbers as a manifest keeps them."""
    return float(values[0]), float(values[1]), float(values[2])


def unit_length_m(dataset: Dataset, robot: RobotConfig) -> float:
    """Metres of what the actions call 1."""
    if dataset.action_scale is ActionScale.METRIC:
        return 1.0
    lengths = [value for value in robot.motion.scale if value > 0]
    if robot.motion.action_scale is not ActionScale.UNIT or not lengths:
        raise ConfigError(
            f"motion.action_scale = {robot.motion.action_scale.value}, motion.scale = "
            f"{robot.motion.scale}: the actions of {dataset.root} are of length 1; allowed: a "
            "robot whose scale says how long such a step is"
        )
    return float(np.mean(lengths))


def _figures(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)
