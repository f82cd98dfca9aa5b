"""`vinn gripper`: paint the mask, label gripper states, train the classifier, apply it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table

from vinn.cli.console import out
from vinn.cli.ingest import PROFILE_FOLDERS
from vinn.cli.ingest_page import write_clip_page
from vinn.demos.types import GripperState
from vinn.errors import ConfigError, DatasetError
from vinn.ingest.clip import MANUAL, ClipFolder, clip_folders
from vinn.ingest.gripper.classifier import check_crop, confusion, train_classifier
from vinn.ingest.gripper.mask import read_mask, still_mask
from vinn.ingest.gripper.source import clip_profile, default_crop, open_source
from vinn.ingest.lenses.camera_profile import CameraProfile, find_profile
from vinn.ingest.pipeline import write_clip

if TYPE_CHECKING:
    from vinn.web.local_page import LocalPage

app = typer.Typer(no_args_is_help=True)

Work = Annotated[Path, typer.Argument(metavar="WORK", help="Clips: the OUT.ingest of vinn ingest.")]


@app.command()
def label(work: Work, port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0) -> None:
    """Label gripper states by keyboard in a page on this machine; Ctrl-C ends."""
    from vinn.ingest.gripper.label_page import LabelServer

    server = LabelServer(work, port)
    _serve(server)
    labelled = sum(frame["state"] is not None for frame in server.frames())
    out.print(f"{labelled} frames are labelled")


@app.command()
def mask(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A clip of this camera.")],
    camera: Annotated[str, typer.Option(help="Camera profile: a name or a YAML file.")],
    target: Annotated[Path, typer.Option("--out", help="Image to write (.png), for --mask.")],
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
) -> None:
    """Paint the gripper mask over a clip's frames in a page on this machine; Ctrl-C ends.

    It begins with the file if there is one, else with the profile's polygons, else with what stays
    still in the clip.
    """
    from vinn.ingest.gripper.mask_page import MaskServer, frames_to_paint_on

    if target.suffix.lower() != ".png":
        raise ConfigError(f"--out {target}: expected a name that ends in .png")
    profile = find_profile(camera, PROFILE_FOLDERS)
    images = frames_to_paint_on(video, profile)
    _serve(MaskServer(images, _first_mask(target, profile, images), target, port))
    out.print(f"{target}" if target.exists() else "nothing was saved", highlight=False)


def _first_mask(
    target: Path, profile: CameraProfile, images: list[np.ndarray]
) -> npt.NDArray[np.bool_]:
    if target.exists():
        return read_mask(target, profile.output_lens)
    polygons = profile.mask()
    return still_mask(images) if polygons is None else polygons


def _serve(page: LocalPage) -> None:
    page.start()
    try:
        out.print(f"open {page.url} in a browser; Ctrl-C ends", highlight=False, soft_wrap=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    finally:
        page.stop()


@app.command()
def train(
    work: Work,
    model: Annotated[Path, typer.Option("--out", help="Classifier to write (.npz).")],
    crop: Annotated[
        str | None,
        typer.Option(help="left,top,right,bottom in fractions; default: around the gripper mask."),
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share of the clips to test on.")] = 0.25,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of test clips.")] = 0,
) -> None:
    """Train the classifier on manual labels; prints the confusion matrix on held-out clips."""
    clips = [clip for clip in clip_folders(work) if clip.gripper_source == MANUAL]
    if not clips:
        raise DatasetError(f"{work}: no clip has manual labels; run 'vinn gripper label' first")
    box = default_crop(clip_profile(clips[0])) if crop is None else _parsed_crop(crop)
    order = np.random.default_rng(seed).permutation(len(clips))
    tested = max(1, round(held_out * len(clips))) if len(clips) > 1 and held_out > 0 else 0
    data = [_labelled(clip) for clip in clips]
    if tested:
        classifier = train_classifier([data[i] for i in order[tested:]], box)
        matrix = np.zeros((len(GripperState),) * 2, np.int64)
        for images, states in (data[i] for i in order[:tested]):
            matrix += confusion(states, classifier.smoothed(images).tolist())
        _print_confusion(matrix, tested)
    # What is written has learnt from every label.
    train_classifier(data, box).save(model)
    count = sum(len(states) for _, states in data)
    out.print(f"{model}: trained on {count} labels of {len(data)} clips", highlight=False)


@app.command()
def apply(
    work: Work,
    source: Annotated[str, typer.Argument(help="Classifier (.npz) or ArUco profile (.yaml).")],
    dataset: Annotated[Path, typer.Option(help="Dataset to write the demonstrations to.")],
    task: Annotated[str, typer.Option(help="What is demonstrated.")] = "door_opening",
    relabel: Annotated[bool, typer.Option(help="Replace manual labels too.")] = False,
) -> None:
    """Label every clip and write its demonstration anew; manual labels stay unless --relabel."""
    labeller = open_source(source)
    written = 0
    for clip in clip_folders(work):
        if clip.assessment is None:
            continue
        if relabel or clip.gripper_source != MANUAL:
            clip.write_gripper(labeller.name, labeller.states(clip))
        written += write_clip(clip, dataset, task) is not None
        write_clip_page(clip)
    out.print(f"{dataset}: {written} demonstrations", highlight=False)


def _labelled(clip: ClipFolder) -> tuple[list[np.ndarray], list[int]]:
    states = clip.gripper_states
    return [clip.frame(slot) for slot in states], [int(state) for state in states.values()]


def _parsed_crop(text: str) -> tuple[float, float, float, float]:
    try:
        edges = tuple(float(part) for part in text.split(","))
    except ValueError as cause:
        raise ConfigError(f"--crop {text!r}: expected four numbers with commas") from cause
    return check_crop(edges, "--crop")


def _print_confusion(matrix: np.ndarray, clips: int) -> None:
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    names = [state.name.lower().replace("_", " ") for state in GripperState]
    title = f"held out: {clips} clips, {matrix.sum()} frames, {accuracy:.1%} right"
    table = Table("is \\ found", *names, title=title)
    for name, row in zip(names, matrix, strict=True):
        table.add_row(name, *(str(int(count)) for count in row))
    out.print(table)
