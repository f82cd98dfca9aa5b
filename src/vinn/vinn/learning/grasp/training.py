"""Training the detector of grasp points (`vinn.policies.grasp.detector`).

A small convolutional head on two feature maps of an encoder that stays as it is. Each cell of a map
says how it differs from the mean of its image, at length one. The head learns by cross entropy
where the gripper will change and where the hand is, and by likelihood how far away the change is,
with its own spread, from the hindsight of the demonstrations (`vinn.learning.grasp.views`). NumPy
trains it (`vinn.learning.grasp.head`): it has some 90,000 parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vinn.demos.files import atomic_directory
from vinn.demos.store import Dataset
from vinn.encoders.artefact import read_manifest
from vinn.errors import ArtefactError, DatasetError
from vinn.learning.config import GraspPointConfig
from vinn.learning.grasp.frames import (
    approach_axes,
    approach_frames,
    grasp_camera,
    unit_length_m,
    vector,
)
from vinn.learning.grasp.head import Batch, GraspHead
from vinn.learning.grasp.network import FeatureMaps, feature_maps, write_network
from vinn.learning.grasp.optimizer import OneCycleAdamW
from vinn.learning.grasp.planes import with_planes
from vinn.learning.grasp.views import LabelledViews, cell_shares, labelled_views
from vinn.policies.grasp.detector import MANIFEST_FILE, GraspCamera, GraspPointManifest
from vinn.robot.config import RobotConfig

OnStage = Callable[[str, int, int], None]
"""Called with (what is done, pieces done, pieces in all)."""


def train_grasp_point(
    dataset: Dataset,
    encoder_dir: Path,
    out_dir: Path,
    robot: RobotConfig,
    config: GraspPointConfig | None = None,
    on_stage: OnStage | None = None,
) -> Path:
    """Train a detector on demonstrations and write it to `out_dir`.

    Args:
        dataset: demonstrations; those without actions or without a change of the gripper teach
            nothing here.
        encoder_dir: a convolutional encoder artefact without crop.
        out_dir: is made, and must not exist.
        robot: says how the camera sits on the gripper and, for actions of length 1, how long a
            step is.
        config: budget and what may be made up.
        on_stage: told what is done and how far it is.

    Raises:
        DatasetError: no labelled frames, or cameras that are unknown or differ.
        ConfigError: the encoder has no such feature maps, or the robot does not say how long a
            step is.
        ArtefactError: bad encoder, or `out_dir` exists. Nothing is left half-written.
    """
    config = config or GraspPointConfig()
    started_s = time.monotonic()
    dataset = dataset.with_actions()

    def stage(what: str) -> Callable[[int, int], None]:
        return lambda done, total: on_stage(what, done, total) if on_stage else None

    encoder = read_manifest(encoder_dir)
    unit_m = unit_length_m(dataset, robot)
    camera = grasp_camera(dataset, encoder, robot, unit_m)
    axes = approach_axes(robot)
    frames, phases = approach_frames(dataset, encoder)
    phases = with_planes(phases, dataset, encoder, frames, camera, axes[2], unit_m)
    views = labelled_views(
        frames,
        camera,
        axes,
        unit_m,
        config.copies,
        config.mirrored,
        config.seed,
        stage("making views"),
    )
    with atomic_directory(Path(out_dir), ArtefactError) as folder:
        maps = feature_maps(
            encoder_dir, encoder, views.images_rgb, folder / "maps", stage("feature maps")
        )
        head = _fitted(maps, views, camera, len(phases), config, stage("training"))
        network_dir = write_network(encoder_dir, encoder, head, folder / "network")
        for path in network_dir.iterdir():
            path.rename(folder / path.name)
        network_dir.rmdir()
        manifest = GraspPointManifest(
            action_scale=dataset.action_scale,
            unit_m=unit_m,
            camera=camera,
            rows=maps[0].shape[1],
            columns=maps[0].shape[2],
            axes_camera=(vector(axes[0]), vector(axes[1]), vector(axes[2])),
            phases=phases,
            mirrored=config.mirrored,
            dataset_hash=dataset.hash,
            encoder_name=encoder.name,
            encoder_hash=encoder.hash,
            network_hash=read_manifest(folder).hash,
        )
        (folder / MANIFEST_FILE).write_text(
            manifest.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
    if on_stage is not None:
        on_stage(f"done in {time.monotonic() - started_s:.0f} s", 1, 1)
    return Path(out_dir)


def _fitted(
    maps: FeatureMaps,
    views: LabelledViews,
    camera: GraspCamera,
    phases: int,
    config: GraspPointConfig,
    on_progress: Callable[[int, int], None],
) -> GraspHead:
    """The head, trained."""
    fine, coarse = maps
    rows, columns = fine.shape[1:3]
    cell = np.array([camera.width_px / columns, camera.height_px / rows])
    targets = cell_shares(views.pixels, cell, (rows, columns))
    hands = cell_shares(views.hand_pixels, cell, (rows, columns))
    usable = np.flatnonzero((targets.sum(axis=1) > 0.99) & (hands.sum(axis=1) > 0.99))
    if not len(usable):
        raise DatasetError(
            "no view shows both the hand and where it closes: check the camera's mount"
        )
    log_depth = np.log((views.to_change + np.array(camera.hand))[:, 2])
    rng = np.random.default_rng([config.seed, 0x7EA])
    head = GraspHead((fine.shape[3], coarse.shape[3]), phases, config.width, rng)
    for phase in range(phases):
        own = log_depth[usable][views.phases[usable] == phase]
        head.depth_mean[phase] = float(own.mean()) if len(own) else 0.0
        head.depth_scale[phase] = max(float(own.std()), 0.05) if len(own) else 1.0
    batches = max(1, len(usable) // config.batch_size)
    steps = max(config.passes * batches, config.least_steps)
    optimizer = OneCycleAdamW(head.parameters, config.learning_rate, config.weight_decay, steps)
    for step in range(steps):
        if step % batches == 0:
            rng.shuffle(usable)
        first = (step % batches) * config.batch_size
        chosen = usable[first : first + config.batch_size]
        batch = Batch(
            fine[chosen].astype(np.float32),
            coarse[chosen].astype(np.float32),
            targets[chosen],
            hands[chosen],
            log_depth[chosen].astype(np.float32),
            views.phases[chosen],
        )
        _, gradients = head.loss(batch, head.dropout(batch, rng))
        optimizer.step(gradients)
        on_progress(step + 1, steps)
    return head
