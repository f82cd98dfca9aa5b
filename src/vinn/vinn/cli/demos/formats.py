"""`vinn demos import`, `export` and `view`; they register themselves on the app of `vinn demos`."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import note, out, progress_bar
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.layouts import Layout, read_layout
from vinn.ingest.formats.record3d import read_record3d
from vinn.ingest.formats.rosbag import export_rosbag, read_rosbag
from vinn.ingest.formats.rosbag_foreign import BagTopics
from vinn.robot.config import CameraMount


class ImportFormat(str, Enum):
    """What `import` reads."""

    VINN_ORIGINAL = "vinn-original"
    DOOR_OPENING_DATA = "door-opening-data"
    RECORD3D = "record3d"
    LEROBOT = "lerobot"
    ROSBAG2 = "rosbag2"


class ExportFormat(str, Enum):
    """What `export` writes."""

    LEROBOT = "lerobot"
    ROSBAG2 = "rosbag2"


def import_(
    kind: Annotated[ImportFormat, typer.Argument(metavar="FORMAT")],
    source: Annotated[Path, typer.Argument(help="File or folder to read.")],
    target: Annotated[Path, typer.Option("--out", help="New dataset.")],
    task: Annotated[str, typer.Option(help="What is demonstrated.")] = "door_opening",
    gripper_order: Annotated[
        GripperOrder | None, typer.Option(help="Which end of the source's gripper scale is open.")
    ] = None,
    rate: Annotated[float, typer.Option(help="Actions per second (record3d, rosbag2).")] = 1.0,
    rotate: Annotated[
        int, typer.Option(help="record3d: turn frames clockwise to be upright: 0, 90, 180, 270.")
    ] = 0,
    camera: Annotated[str | None, typer.Option(help="Camera key (lerobot).")] = None,
    scale: Annotated[
        ActionScale, typer.Option(help="Unit of the actions (lerobot).")
    ] = ActionScale.METRIC,
    image_topic: Annotated[str, typer.Option(help="rosbag2")] = BagTopics.image,
    pose_topic: Annotated[
        str | None, typer.Option(help="rosbag2: camera poses; without, joint states are used.")
    ] = None,
    joints_topic: Annotated[str, typer.Option(help="rosbag2")] = "/stretch/joint_states",
    odom_topic: Annotated[str, typer.Option(help="rosbag2")] = "/odom",
    tilt: Annotated[float, typer.Option(help="rosbag2: camera pitched down, in radians.")] = 0.349,
) -> None:
    """Import demonstrations from another format into a new dataset."""
    if not 0 < rate <= 1000:
        raise ConfigError(f"--rate {rate:g}; allowed: more than 0, at most 1000")
    if kind is ImportFormat.VINN_ORIGINAL:
        found = read_layout(Layout.VINN_ORIGINAL, source, gripper_order, task)
    elif kind is ImportFormat.DOOR_OPENING_DATA:
        found = read_layout(Layout.DOOR_OPENING_DATA, source, gripper_order, task)
    elif kind is ImportFormat.RECORD3D:
        found = read_record3d(source, task, rate, rotate)
    elif kind is ImportFormat.LEROBOT:
        from vinn.ingest.formats.lerobot_import import read_lerobot  # needs the extra 'report'

        found = read_lerobot(source, camera, gripper_order, scale)
    else:
        topics = BagTopics(image_topic, pose_topic, joints_topic, odom_topic)
        order = gripper_order or GripperOrder.OPEN_HIGH
        mount = CameraMount(tilt_rad=tilt)
        found = read_rosbag(source, task, topics, rate, order, mount, note)
    count = write_imported(found, target)
    out.print(f"{target}: {count} demonstrations", highlight=False)


def export(
    kind: Annotated[ExportFormat, typer.Argument(metavar="FORMAT")],
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of demonstrations.")],
    target: Annotated[Path, typer.Option("--out", help="New folder.")],
) -> None:
    """Export a dataset: LeRobotDataset v3.0, or one rosbag2 (MCAP) recording a demonstration."""
    dataset = Dataset.open(root)
    if kind is ExportFormat.LEROBOT:
        from vinn.ingest.formats.lerobot_export import export_lerobot as write

        total = dataset.frame_count
    else:
        write, total = export_rosbag, len(dataset)
    with progress_bar("exporting") as progress:
        write(dataset, target, lambda done: progress(done, total))
    out.print(f"{target}: {len(dataset)} demonstrations", highlight=False)


def view(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of demonstrations.")],
    page: Annotated[
        Path | None, typer.Option("--out", help="HTML file; default: beside the dataset.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Demonstrations shown frame by frame.")] = 40,
) -> None:
    """Write a page to browse a dataset: frames, actions, gripper, duplicates, starts."""
    from vinn.cli.demos.view import write_dataset_page  # needs the extra 'report'

    root_path = Path(os.path.abspath(root))  # noqa: PTH100  (symbolic links stay as they are)
    written = write_dataset_page(
        Dataset.open(root), page or root_path.with_name(f"{root_path.name}.html"), limit
    )
    out.print(str(written), highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the three commands to an app."""
    app.command("import")(import_)
    app.command()(export)
    app.command()(view)
