"""How the plane around a grasp point lies to the point, from the demonstrations.

Parallax (`vinn.policies.grasp.parallax`) tells how far away what is seen around the point is: a
door, say, not its handle. How far the one lies behind the other, and how reliably, is measured
where the point is known: in the demonstrations.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.hindsight import of_demonstration
from vinn.demos.store import Dataset
from vinn.demos.types import Demonstration
from vinn.encoders.artefact import EncoderManifest
from vinn.learning.grasp.views import ApproachFrame, gripper_mask
from vinn.policies.grasp.detector import GraspCamera, PhasePrior, PlanePrior
from vinn.policies.grasp.parallax import Parallax
from vinn.policies.grasp.picture import EarlierView, detail_picture

FRAMES_PER_APPROACH = 4
FEWEST_APPROACHES = 5
"""That must show a plane for it to count."""
LEAST_STD_M = 0.004
MOST_STD = 0.1
"""A spread above this share of the distance tells less than a view does by itself."""
HAND_CELLS = 28
"""Columns of the mask."""
HAND_RIM = 0.04
"""Share of the width by which the hand's outline is widened: no camera sits quite alike."""


def with_planes(
    phases: Sequence[PhasePrior],
    dataset: Dataset,
    encoder: EncoderManifest,
    frames: Sequence[ApproachFrame],
    camera: GraspCamera,
    forward: NDArray[np.float64],
    unit_m: float,
) -> tuple[PhasePrior, ...]:
    """Phases with the plane of each; without one where too few approaches agree on it.

    Args:
        phases: rows of the detector.
        dataset: with actions.
        encoder: whose input the pictures are.
        frames: of all phases, `vinn.learning.grasp.frames.approach_frames`.
        camera: of the frames.
        forward: (3,) the way the gripper looks, optical axes.
        unit_m: metres of what the actions call 1.
    """
    found = []
    for number, phase in enumerate(phases):
        cells = hand_cells(gripper_mask([f.image_rgb for f in frames if f.phase == number]))
        parallax = Parallax(camera, forward, cells)
        approaches = [
            _behind(demonstration, number, encoder, camera, forward, parallax)
            for demonstration in dataset.demonstrations
        ]
        plane = _agreed([a for a in approaches if len(a)], cells, unit_m)
        found.append(phase.model_copy(update={"plane": plane}))
    return tuple(found)


def hand_cells(mask: NDArray[np.bool_]) -> tuple[str, ...]:
    """A mask (H, W) of the hand, coarse and widened, as `PlanePrior` keeps it."""
    height, width = mask.shape
    rim = max(3, round(HAND_RIM * width) | 1)
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((rim, rim), np.uint8))
    size = (HAND_CELLS, max(1, round(HAND_CELLS * height / width)))
    small = cv2.resize(np.asarray(grown, np.float32), size, interpolation=cv2.INTER_AREA)
    return tuple("".join("#" if cell > 0 else "." for cell in row) for row in np.asarray(small))


def _behind(
    demonstration: Demonstration,
    phase: int,
    encoder: EncoderManifest,
    camera: GraspCamera,
    forward: NDArray[np.float64],
    parallax: Parallax,
) -> NDArray[np.float64]:
    """(K, 2) of some frames: how far the plane lies behind the point, and the point's distance."""
    labels = of_demonstration(demonstration)
    own = np.flatnonzero(labels.labelled & (labels.phase == phase))
    if len(own) < 2:
        return np.empty((0, 2))
    points = np.array(camera.hand) + labels.to_change[own]
    pictures = [
        detail_picture(encoder.preprocessing.resize(read_frame(demonstration.frame_paths[i])))
        for i in own
    ]
    image_uv = (camera.project(points) + 0.5) / [camera.width_px, camera.height_px]
    found = []
    for now in np.unique(np.linspace(1, len(own) - 1, FRAMES_PER_APPROACH).astype(int)):
        expected = float(points[now] @ forward)
        earlier = [EarlierView(pictures[i], points[i] - points[now]) for i in range(now)]
        if expected > 0 and np.isfinite(image_uv[now]).all():
            distance = parallax.distance(pictures[now], earlier, image_uv[now], expected)
            if distance is not None:
                found.append((distance - expected, expected))
    return np.array(found).reshape(-1, 2)


def _agreed(
    approaches: Sequence[NDArray[np.float64]], cells: tuple[str, ...], unit_m: float
) -> PlanePrior | None:
    """What approaches agree on, by median and median deviation: some go wrong altogether."""
    if len(approaches) < FEWEST_APPROACHES:
        return None
    behind, distance = np.concatenate(approaches).T
    middle = float(np.median(behind))
    spread = 1.4826 * float(np.median(np.abs(behind - middle)))
    std = max(spread, LEAST_STD_M / unit_m)
    if std > MOST_STD * float(np.median(distance)):
        return None
    return PlanePrior(behind=middle, std=std, hand_cells=cells)
