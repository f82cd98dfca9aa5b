"""`vinn demos add`: a successful or corrected rollout becomes a demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import out, progress_bar
from vinn.demos.types import ActionScale
from vinn.errors import ArtefactError, ConfigError


def add(
    recording: Annotated[
        Path, typer.Argument(metavar="BAG", help="Recorded rollout: MCAP or rosbag2 directory.")
    ],
    root: Annotated[Path, typer.Option("--to", help="Folder of demonstrations to add it to.")],
    name: Annotated[
        str | None, typer.Option(help="Of the demonstration; the recording's by default.")
    ] = None,
    scale: Annotated[
        ActionScale, typer.Option(help="Of the demonstrations in the folder.")
    ] = ActionScale.METRIC,
    task: Annotated[str, typer.Option(help="Kept with it.")] = "door",
    robot_config: Annotated[
        Path | None, typer.Option(help="Robot configuration with the camera's mount.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Though it did not succeed, lacks messages, or its clock jumps."
        ),
    ] = False,
    driven_only: Annotated[
        bool,
        typer.Option(
            "--driven-only", help="The steps alone that the operator drove after taking over."
        ),
    ] = False,
    policy: Annotated[
        Path | None, typer.Option(help="Policy artefact to extend by it, without building anew.")
    ] = None,
    out_policy: Annotated[
        Path | None, typer.Option(help="Extended artefact to write (with --policy).")
    ] = None,
) -> None:
    """Turn a rollout into a demonstration, and put it into a policy.

    With --policy, the same command again finishes what one that was killed has begun.
    """
    # What is needed here alone is imported here: the area's other commands stay quick.
    from vinn.demos.store import Dataset
    from vinn.policies.artefacts.edit import extend_policy, is_extension, open_extendable
    from vinn.recordings.rollout_demonstration import add_rollout, demonstration_name
    from vinn.robot.config import CameraMount, load_robot_config

    if (policy is None) != (out_policy is None):
        raise ConfigError("--policy and --out-policy: give both or none")
    mount = load_robot_config(robot_config).camera if robot_config else CameraMount()
    extended = False
    if policy is not None and out_policy is not None:
        # Refused before anything is written.
        open_extendable(policy, scale)
        if out_policy.exists():
            extended = is_extension(out_policy, policy, [demonstration_name(recording, name)])
            if not extended:
                raise ArtefactError(
                    f"{out_policy}: exists already; choose another name or remove it first"
                )
    again = policy is not None
    folder = add_rollout(
        recording, root, mount, scale, name, task, force, again, driven_only=driven_only
    )
    out.print(str(folder), highlight=False, soft_wrap=True)
    if policy is not None and out_policy is not None:
        if not extended:
            with progress_bar("encoding") as progress:
                extend_policy(policy, Dataset.open(root).only(folder.name), out_policy, progress)
        out.print(str(out_policy), highlight=False, soft_wrap=True)
