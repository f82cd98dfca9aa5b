"""`vinn report`: pages, videos and an HTML report from recorded rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vinn.cli.console import out, progress_bar
from vinn.policies.artefact import open_artefact
from vinn.recordings.rollout_pages import rerun_path, write_rollout_pages
from vinn.recordings.rollout_report import build_report, video_path
from vinn.recordings.rollout_summary import digest_recording
from vinn.rollout.recordings import find_recordings


class _PagesByDefault(TyperGroup):
    """`vinn report RUN...` is `vinn report pages RUN...`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["pages", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(no_args_is_help=True, cls=_PagesByDefault)

Recording = Annotated[Path, typer.Argument(metavar="FILE", help="Recorded rollout (MCAP).")]
PolicyDir = Annotated[
    Path | None, typer.Option(help="Policy artefact, for the neighbours' pictures.")
]


@app.command()
def pages(
    recordings: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Recordings (MCAP, sqlite3, rosbag2), or folders."),
    ],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder; by default `pages` beside the first.")
    ] = None,
    policy: PolicyDir = None,
    rerun: Annotated[
        bool,
        typer.Option("--rerun", help="Write RUN.rrd for the Rerun viewer, too (extra 'rerun')."),
    ] = False,
) -> None:
    """Make a page for each rollout: scrub through frames, neighbours, tracks; and an index."""
    found = find_recordings(recordings)
    with progress_bar("making pages") as progress:
        folder = out_dir or found[0].parent / "pages"
        index = write_rollout_pages(found, folder, policy, progress, rerun)
    out.print(str(index), highlight=False, soft_wrap=True)
    for recording in found if rerun else ():
        out.print(str(rerun_path(folder, recording)), highlight=False, soft_wrap=True)


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
    recordings = find_recordings([folder])
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
