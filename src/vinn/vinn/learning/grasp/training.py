"""Training the detector of grasp points (`vinn.policies.grasp.detector`).

A small convolutional head on two feature maps of an encoder that stays as it is. Each cell of a map
says how it differs from the mean of its image, at length one. The head learns by cross entropy
where the gripper will change and where the hand is, and by likelihood how far away the change is,
with its own spread, from the hindsight of the demonstrations (`vinn.learning.grasp.views`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from vinn.demos.files import atomic_directory
from vinn.demos.store import Dataset
from vinn.encoders.artefact import EncoderManifest, read_manifest, write_encoder
from vinn.encoders.encoder import Encoder, load_for_datasets
from vinn.encoders.local import last_residual_sum, read_network
from vinn.encoders.openvino_runtime import import_openvino
from vinn.errors import ArtefactError, ArtefactMismatchError, DatasetError
from vinn.learning.config import GraspPointConfig
from vinn.learning.grasp.frames import (
    approach_axes,
    approach_frames,
    grasp_camera,
    unit_length_m,
    vector,
)
from vinn.learning.grasp.planes import with_planes
from vinn.learning.grasp.views import LabelledViews, cell_shares, labelled_views
from vinn.policies.grasp.detector import (
    DEPTH_VALUES,
    MANIFEST_FILE,
    GraspCamera,
    GraspPointManifest,
)
from vinn.robot.config import RobotConfig

STRIDES = (8, 16)
MAX_RELATIVE_DIFFERENCE = 1e-3

OnStage = Callable[[str, int, int], None]
"""Called with (what is done, pieces done, pieces in all)."""


class GraspHead(nn.Module):
    """From feature maps at strides 8 and 16 to the detector's output (N, D)."""

    depth_mean: torch.Tensor
    """(P,) of the log depths learned from."""
    depth_scale: torch.Tensor
    """(P,) their standard deviation."""

    def __init__(self, channels: tuple[int, int], phases: int, width: int = 40) -> None:
        super().__init__()
        fine, coarse = channels
        self.phases = phases
        self.fine = nn.Conv2d(fine, width, 1)
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.heat = nn.Conv2d(width, phases + 1, 1)
        self.from_coarse = nn.Conv2d(coarse, width, 1)
        self.from_mix = nn.Conv2d(width, width, 2, stride=2)
        self.depth = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, DEPTH_VALUES * phases, 1),
        )
        self.register_buffer("depth_mean", torch.zeros(phases))
        self.register_buffer("depth_scale", torch.ones(phases))

    def maps(self, fine: torch.Tensor, coarse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, P + 1, cells) and, per cell, depth and its log spread (N, P, 2, cells)."""
        fine, coarse = _differences(fine), _differences(coarse)
        near = functional.interpolate(
            self.coarse(coarse), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        mixed = torch.relu(self.mix(torch.relu(self.fine(fine) + near)))
        joined = torch.cat([self.from_coarse(coarse), self.from_mix(mixed)], dim=1)
        depth = functional.interpolate(
            self.depth(torch.relu(joined)), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        logits = self.heat(mixed).flatten(2)
        return logits, depth.flatten(2).unflatten(1, (self.phases, DEPTH_VALUES))

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """(N, D): logits, then log depth and the logarithm of its spread for each phase."""
        logits, depth = self.maps(fine, coarse)
        shares = logits[:, :-1].softmax(dim=2).unsqueeze(2)
        value = (shares * depth).sum(dim=3)
        log_depth = value[:, :, 0] * self.depth_scale + self.depth_mean
        log_spread = 0.5 * value[:, :, 1] + self.depth_scale.log()
        return torch.cat(
            [logits.flatten(1), torch.stack([log_depth, log_spread], dim=2).flatten(1)], dim=1
        )


def _differences(cells: torch.Tensor) -> torch.Tensor:
    off = cells - cells.mean(dim=(2, 3), keepdim=True)
    return off / (off.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()


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

    torch.manual_seed(config.seed)
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
        maps = _feature_maps(encoder_dir, encoder, views, folder / "maps", stage("feature maps"))
        head = _fitted(maps, views, camera, len(phases), config, stage("training"))
        network_dir = _exported(encoder_dir, encoder, head, maps, folder / "network")
        for path in network_dir.iterdir():
            path.rename(folder / path.name)
        network_dir.rmdir()
        manifest = GraspPointManifest(
            action_scale=dataset.action_scale,
            unit_m=unit_m,
            camera=camera,
            rows=maps[0].shape[2],
            columns=maps[0].shape[3],
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


def _map_outputs(network: Any, encoder: EncoderManifest) -> list[Any]:
    prepare = encoder.preprocessing
    return [
        last_residual_sum(
            network,
            (prepare.height_px // stride, prepare.width_px // stride),
            stride,
            encoder.name,
            "stride",
        )
        for stride in STRIDES
    ]


def _feature_maps(
    encoder_dir: Path,
    encoder: EncoderManifest,
    views: LabelledViews,
    scratch: Path,
    on_progress: Callable[[int, int], None],
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Both maps of every view, (N, C, rows, columns) each."""
    openvino = import_openvino()
    ops = openvino.opset13
    network = read_network(encoder_dir)
    outputs = _map_outputs(network, encoder)
    shapes = [[d.get_length() for d in list(o.get_partial_shape())[1:]] for o in outputs]
    flat = [
        ops.reshape(o, ops.constant(np.array([0, -1], np.int64)), special_zero=True)
        for o in outputs
    ]
    both = openvino.Model([ops.concat(flat, 1)], network.get_parameters(), encoder.name)
    write_encoder(both, encoder.name, encoder.preprocessing, scratch)
    maps_of: Encoder = load_for_datasets(scratch)
    sizes = [int(np.prod(shape)) for shape in shapes]
    fine = np.empty((len(views.images_rgb), *shapes[0]), np.float16)
    coarse = np.empty((len(views.images_rgb), *shapes[1]), np.float16)
    for number, values in enumerate(maps_of.encode_each(iter(views.images_rgb))):
        fine[number] = values[: sizes[0]].reshape(shapes[0])
        coarse[number] = values[sizes[0] :].reshape(shapes[1])
        on_progress(number + 1, len(fine))
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    return fine, coarse


def _fitted(
    maps: tuple[NDArray[np.float16], NDArray[np.float16]],
    views: LabelledViews,
    camera: GraspCamera,
    phases: int,
    config: GraspPointConfig,
    on_progress: Callable[[int, int], None],
) -> GraspHead:
    """The head, trained."""
    fine, coarse = maps
    rows, columns = fine.shape[2:]
    cell = np.array([camera.width_px / columns, camera.height_px / rows])
    targets = cell_shares(views.pixels, cell, (rows, columns))
    hands = cell_shares(views.hand_pixels, cell, (rows, columns))
    usable = np.flatnonzero((targets.sum(axis=1) > 0.99) & (hands.sum(axis=1) > 0.99))
    if not len(usable):
        raise DatasetError(
            "no view shows both the hand and where it closes: check the camera's mount"
        )
    log_depth = np.log((views.to_change + np.array(camera.hand))[:, 2])
    head = GraspHead((fine.shape[1], coarse.shape[1]), phases, config.width)
    for phase in range(phases):
        own = log_depth[usable][views.phases[usable] == phase]
        head.depth_mean[phase] = float(own.mean()) if len(own) else 0.0
        head.depth_scale[phase] = max(float(own.std()), 0.05) if len(own) else 1.0
    batches = max(1, len(usable) // config.batch_size)
    steps = max(config.passes * batches, config.least_steps)
    optimizer = torch.optim.AdamW(
        head.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=max(steps, 2)
    )
    rng = np.random.default_rng([config.seed, 0x7EA])
    head.train()
    for step in range(steps):
        if step % batches == 0:
            rng.shuffle(usable)
        first = (step % batches) * config.batch_size
        chosen = usable[first : first + config.batch_size]
        loss = _loss(
            head,
            torch.from_numpy(fine[chosen].astype(np.float32)),
            torch.from_numpy(coarse[chosen].astype(np.float32)),
            torch.from_numpy(targets[chosen]),
            torch.from_numpy(hands[chosen]),
            torch.from_numpy(log_depth[chosen].astype(np.float32)),
            torch.from_numpy(views.phases[chosen]),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_progress(step + 1, steps)
    return head.eval()


def _loss(
    head: GraspHead,
    fine: torch.Tensor,
    coarse: torch.Tensor,
    target: torch.Tensor,
    hand: torch.Tensor,
    log_depth: torch.Tensor,
    phases: torch.Tensor,
) -> torch.Tensor:
    logits, depth = head.maps(fine, coarse)
    row = torch.arange(len(phases))
    log_shares = logits.log_softmax(dim=2)
    own = log_shares[row, phases]
    place = -(target * own).sum(dim=1).mean()
    where_hand = -(hand * log_shares[:, -1]).sum(dim=1).mean()
    # Depth is read where the point is, and where the head believes it to be.
    shares = 0.5 * (own.detach().exp() + target)
    value = (shares.unsqueeze(1) * depth[row, phases]).sum(dim=2)
    wanted = (log_depth - head.depth_mean[phases]) / head.depth_scale[phases]
    off = (wanted - value[:, 0]) ** 2
    far = (0.5 * off * (-value[:, 1]).exp() + 0.5 * value[:, 1]).mean()
    return place + where_hand + 0.5 * far


def _exported(
    encoder_dir: Path,
    encoder: EncoderManifest,
    head: GraspHead,
    maps: tuple[NDArray[np.float16], NDArray[np.float16]],
    folder: Path,
) -> Path:
    """Encoder and head as one network, an encoder artefact in `folder`."""
    openvino = import_openvino()
    example = tuple(torch.from_numpy(m[:1].astype(np.float32)) for m in maps)
    with warnings.catch_warnings():
        # OpenVINO converts by torch.jit.trace, which newer torch calls deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        behind = openvino.convert_model(
            head, example_input=example, input=[[-1, *m.shape[1:]] for m in maps]
        )
    network = read_network(encoder_dir)
    for parameter, output in zip(
        behind.get_parameters(), _map_outputs(network, encoder), strict=True
    ):
        parameter.output(0).replace(output)
    joined = openvino.Model(
        [behind.get_results()[0].input_value(0)], network.get_parameters(), encoder.name
    )

    def verify(candidate: Path) -> dict[str, Any]:
        image = np.random.default_rng(0).integers(
            0, 256, (encoder.preprocessing.height_px, encoder.preprocessing.width_px, 3), np.uint8
        )
        found = load_for_datasets(candidate).encode(image)
        wanted = _reference(encoder_dir, encoder, head, image)
        difference = float(np.abs(found - wanted).max())
        if not difference <= MAX_RELATIVE_DIFFERENCE * max(1.0, float(np.abs(wanted).max())):
            raise ArtefactMismatchError(
                f"{candidate.name}: the exported detector differs by {difference:.3g}"
            )
        return {"max_abs_difference_to_torch": difference, "torch": torch.__version__}

    return write_encoder(
        joined,
        f"{encoder.name}-grasp-point",
        encoder.preprocessing,
        folder,
        {"made_from": {"name": encoder.name, "hash": encoder.hash}},
        verify,
    )


def _reference(
    encoder_dir: Path, encoder: EncoderManifest, head: GraspHead, image: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """What torch makes of an image's feature maps."""
    openvino = import_openvino()
    network = read_network(encoder_dir)
    compiled = openvino.Core().compile_model(
        openvino.Model(_map_outputs(network, encoder), network.get_parameters()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    found = compiled(encoder.preprocessing.normalise(image))
    with torch.no_grad():
        answer: NDArray[np.float32] = head(
            *(torch.from_numpy(np.array(found[i])) for i in range(len(STRIDES)))
        ).numpy()[0]
    return answer
