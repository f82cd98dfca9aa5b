"""A page for each recorded rollout, to see what the robot saw and why it stopped; and an index."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vinn.evaluation.statistics import UNKNOWN, SuccessRate, share_at_first
from vinn.policies.artefact import open_artefact
from vinn.policies.artefacts.artefact import PolicyArtefact
from vinn.recordings.rerun_recording import write_rerun
from vinn.recordings.rollout_findings import clock_findings, findings, neighbor_progress
from vinn.recordings.rollout_summary import RolloutDigest, digest_recording
from vinn.recordings.scrubber import neighbor_jumps, scrubber_data
from vinn.recordings.tracks import load_tracks
from vinn.rollout.label import read_label
from vinn.rollout.reader import RecordingSummary, summarize_recording
from vinn.rollout.recording_files import recording_name
from vinn.viz.report import Link, Report, Tile
from vinn.viz.timeline import RolloutTimeline, load_timeline

INDEX = "index.html"


def write_rollout_pages(
    recordings: Sequence[Path],
    out_dir: Path,
    policy_dir: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    rerun: bool = False,
) -> Path:
    """Write a page for each recording, and `index.html`.

    Args:
        recordings: MCAP files or rosbag2 directories, at least one.
        out_dir: pages are called after their recordings.
        policy_dir: artefact that the neighbours' pictures come from; by default the one that a
            recording names, where it is still there.
        on_progress: called with (pages done, pages in all).
        rerun: write a Rerun recording (`.rrd`) beside each page, too.

    Returns:
        The index.

    Raises:
        DatasetError: not a recording of a rollout.
        ArtefactError: the artefact is malformed.
        ModuleNotFoundError: `rerun` without the package `rerun-sdk`.
    """
    digests = []
    for done, recording in enumerate(recordings, start=1):
        summary = summarize_recording(recording)
        directory = policy_dir or recorded_policy(summary)
        artefact = None if directory is None else open_artefact(directory)
        digest = digest_recording(recording, _policy_name(summary))
        digests.append((digest, summary))
        page = out_dir / _page_name(recording)
        rollout_page(digest, summary, artefact).write(page)
        if rerun:
            thumbnail = artefact.thumbnail if artefact else None
            tracks = load_tracks(recording)
            write_rerun(load_timeline(recording), tracks, thumbnail, rerun_path(out_dir, recording))
        if on_progress is not None:
            on_progress(done, len(recordings))
    return _index(digests).write(out_dir / INDEX)


def rerun_path(out_dir: Path, recording: Path) -> Path:
    """Where the Rerun recording of a rollout is."""
    return out_dir / f"{recording_name(recording)}.rrd"


def recorded_policy(summary: RecordingSummary) -> Path | None:
    """The artefact that a recording names, if it is still there."""
    named = summary.parameters.get("vinn_policy.policy", "")
    return Path(named) if named and Path(named).is_dir() else None


def rollout_page(
    digest: RolloutDigest, summary: RecordingSummary, artefact: PolicyArtefact | None
) -> Report:
    """The page of one rollout."""
    recording = digest.recording
    timeline = load_timeline(recording)
    name = summary.info.get("name", "") or recording_name(recording)
    label = read_label(recording)
    report = Report(name, f"{recording.name}; policy {digest.policy or 'unknown'}")
    verdict = label and f"operator: {'success' if label.success else 'failure'}"
    said = f"{verdict}; {label.note}" if label and label.note else verdict
    report.tiles(
        [
            Tile(
                "Outcome",
                "opened" if digest.opened else "not opened",
                said or (summary.outcome or {}).get("message", ""),
                good=digest.opened,
            ),
            Tile("Ended by", summary.ended_by, f"{digest.steps} steps"),
            *_attempts_tile(digest),
            *_novelty_tiles(timeline),
        ]
    )
    tracks = load_tracks(recording)
    memory = artefact.memory if artefact else None
    stands_out = [*clock_findings(timeline), *findings(timeline, tracks, memory)]
    if stands_out:
        why = report.section("What stands out")
        for finding in stands_out:
            why.text(f"{finding.title}: {finding.text}.")
    section = report.section("What it saw and did")
    section.scrubber(
        scrubber_data(
            timeline,
            tracks,
            artefact.thumbnail if artefact else None,
            neighbor_progress([p.prediction for p in timeline.predictions], memory)
            if memory
            else None,
        ),
        "Arrow: predicted motion in the image; bar at the right: forward (up) and back (down). "
        "Marks below the tracks are steps. Click a track or an event to go there; arrow keys step.",
    )
    rows = [[key, value] for key, value in {**summary.info, **(summary.outcome or {})}.items()]
    details = report.section("Details")
    details.table(["what", "value"], rows, "What the recording says about itself")
    if summary.parameters:
        parameters = [[key, value] for key, value in sorted(summary.parameters.items())]
        details.table(["parameter", "value"], parameters, "Parameters at the start")
    return report


def _attempts_tile(digest: RolloutDigest) -> list[Tile]:
    if digest.attempts is None:
        return []
    return [Tile("Attempts", str(digest.attempts), "how often the gripper closed")]


def _novelty_tiles(timeline: RolloutTimeline) -> list[Tile]:
    predictions = [recorded.prediction for recorded in timeline.predictions]
    novelty = np.array([p.novelty for p in predictions])
    novelty = novelty[np.isfinite(novelty)]
    jumps = neighbor_jumps(predictions)
    tiles = []
    if len(novelty):
        novel = int((novelty > 1).sum())
        note = f"largest novelty {novelty.max():.2f}; 1 is the limit"
        tiles.append(Tile("Novel frames", f"{novel} / {len(novelty)}", note))
    if math.isfinite(jumps):
        note = "frames whose nearest demonstration is another one than before"
        tiles.append(Tile("Neighbours jump", f"{jumps:.0%}", note))
    return tiles


def _index(digests: Sequence[tuple[RolloutDigest, RecordingSummary]]) -> Report:
    rate = SuccessRate.of(digest.opened for digest, _ in digests)
    report = Report("Rollouts", f"{len(digests)} recordings")
    reasons: dict[str, int] = {}
    for digest, _ in digests:
        reason = digest.reason or "incomplete"
        reasons[reason] = reasons.get(reason, 0) + 1
    interval = f"95 % interval {rate.low:.0%} to {rate.high:.0%}"
    report.tiles(
        [
            Tile("Opened", rate.share, interval),
            Tile("At the first attempt", share_at_first(d.first_attempt for d, _ in digests)),
            *(Tile(f"Ended by {reason}", str(count)) for reason, count in sorted(reasons.items())),
        ]
    )
    groups: dict[str, list[RolloutDigest]] = {}
    for digest, _ in digests:
        key = ", ".join(filter(None, (digest.policy.partition("@")[0], digest.cabinet))) or "all"
        groups.setdefault(key, []).append(digest)
    section = report.section("Success")
    by_group = []
    for name, own in groups.items():
        r = SuccessRate.of(digest.opened for digest in own)
        first = share_at_first(digest.first_attempt for digest in own)
        by_group.append([name, r.successes, r.trials, f"{r.low:.0%} to {r.high:.0%}", first])
    header = ["policy, cabinet", "opened", "of", "95 % interval", "at the first attempt"]
    section.table(header, by_group)
    rows = [
        [
            Link(recording_name(d.recording), _page_name(d.recording)),
            summary.info.get("name", ""),
            d.cabinet,
            d.opened,
            UNKNOWN if d.attempts is None else d.attempts,
            d.reason or "incomplete",
            d.steps,
            round(d.duration_s, 1),
        ]
        for d, summary in digests
    ]
    header = ["recording", "name", "cabinet", "opened", "attempts", "ended by", "steps"]
    header += ["wall time [s]"]
    report.section("Every rollout").table(header, rows)
    return report


def _page_name(recording: Path) -> str:
    return f"{recording_name(recording)}.html"


def _policy_name(summary: RecordingSummary) -> str:
    return summary.info.get("policy", "")
