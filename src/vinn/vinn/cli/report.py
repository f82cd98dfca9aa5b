"""`vinn report`: videos and an HTML report from recorded rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinn.cli.console import out, progress_bar
from vinn.errors import DatasetError
from vinn.evaluation.digest import digest_recording
from vinn.evaluation.rollout_report import build_report, video_path
from vinn.policies.artefact import open_artefact

app = typer.Typer(no_args_is_help=True)

Recording = Annotated[Path, typer.Argument(metavar="FILE", help="Recorded rollout (MCAP).")]
PolicyDir = Annotated[
    Path | None, typer.Option(help="Policy artefact, for the neighbours' pictures.")
]


@app.command()
def video(
    recording: Recording,
    out_file: Annotated[Path, typer.Option("--out", help="mp4 to write.")],
    policy: PolicyDir = None,
) -> None:
    """Make the video of one rollout: wrist view, neighbours and arrows beside the scene."""
    name = open_artefact(policy).manifest.name if policy else "rollout"
    digest_recording(recording, name, policy, out_file)
    out.print(str(out_file), highlight=False)


@app.command()
def rollouts(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of recordings.")],
    out_file: Annotated[Path, typer.Option("--out", help="HTML file to write.")],
    policy: PolicyDir = None,
    videos: Annotated[bool, typer.Option(help="Make videos (beside the HTML file).")] = True,
) -> None:
    """Make one self-contained HTML report of all rollouts in a folder."""
    recordings = sorted(folder.glob("*.mcap")) + sorted(folder.glob("*.mcap.partial"))
    if not recordings:
        raise DatasetError(f"{folder}: holds no recording (*.mcap)")
    name = open_artefact(policy).manifest.name if policy else "policy"
    digests = []
    with progress_bar("reading recordings") as progress:
        for done, recording in enumerate(recordings):
            video = video_path(out_file.parent / "videos", recording) if videos else None
            digests.append(digest_recording(recording, name, policy, video))
            progress(done + 1, len(recordings))
    subtitle = f"{len(digests)} rollouts in {folder.name}"
    build_report("Recorded rollouts", subtitle, digests, name, {}).write(out_file)
    out.print(str(out_file), highlight=False)
