"""Summary and HTML report of recorded rollouts: one policy, and controls beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from vinn.errors import DatasetError
from vinn.evaluation.statistics import UNKNOWN, SuccessRate, share_at_first
from vinn.recordings.latency import LatencySummary
from vinn.recordings.rollout_summary import RolloutDigest
from vinn.rollout.recording_files import recording_name
from vinn.viz import plots
from vinn.viz.report import Report, Section, Tile, VideoItem

OPENED_DEG = 30.0
Key = TypeVar("Key")
SHOWN_STAGES = {
    "preprocess": "preprocess",
    "encode": "encode",
    "retrieve": "retrieve",
    "image_age": "stamp to prediction",
}


def summarize(digests: Sequence[RolloutDigest], policy: str) -> dict[str, object]:
    """Numbers of the rollouts driven by `policy`, as they stand in `summary.json`.

    Raises:
        DatasetError: there are none.
    """
    own = [digest for digest in digests if digest.policy == policy]
    if not own:
        raise DatasetError(f"no recorded rollout of policy {policy!r} to summarise")
    rate = SuccessRate.of(digest.opened for digest in own)
    at_first = SuccessRate.at_first(digest.first_attempt for digest in own)
    return {
        "policy": policy,
        "trials": rate.trials,
        "successes": rate.successes,
        "first_attempt": None if at_first is None else at_first.successes,
        "wilson_low": round(rate.low, 4),
        "wilson_high": round(rate.high, 4),
        "grasped": sum(digest.grasped for digest in own),
        "fully_opened": sum(digest.fully_opened for digest in own),
        "steps": sum(digest.steps for digest in own),
        "latency_ms": _latency_json(own),
        "by_cabinet": {
            cabinet: {"trials": part.trials, "successes": part.successes}
            for cabinet, part in _rates(own, lambda digest: digest.cabinet).items()
        },
        "rollouts": [
            {
                "cabinet": digest.cabinet,
                "opened": digest.opened,
                "attempts": digest.attempts,
                "angle_deg": _rounded(digest.final_angle_deg, 1),
                "reason": digest.reason,
                "steps": digest.steps,
                "duration_s": round(digest.duration_s, 2),
                "recording": digest.recording.name,
                "video": digest.video.name if digest.video else None,
            }
            for digest in own
        ],
    }


@dataclass(frozen=True)
class GroupRates:
    """Doors opened by one policy in one condition, with retries and at the first attempt.

    Attributes:
        policy, condition: as in the digests.
        opened: with retries.
        first_attempt: with one closing of the gripper; None where not known.
    """

    policy: str
    condition: str
    opened: SuccessRate
    first_attempt: SuccessRate | None

    def as_json(self) -> dict[str, object]:
        """As it stands in a summary."""
        return {
            "policy": self.policy,
            "condition": self.condition,
            "opened": _rate_json(self.opened),
            "first_attempt": None if self.first_attempt is None else _rate_json(self.first_attempt),
        }


def group_rates(digests: Sequence[RolloutDigest]) -> list[GroupRates]:
    """Rates of each policy in each condition, in the order in which they first appear."""
    groups: dict[tuple[str, str], list[RolloutDigest]] = {}
    for digest in digests:
        groups.setdefault((digest.policy, digest.condition), []).append(digest)
    return [
        GroupRates(
            policy,
            condition,
            SuccessRate.of(digest.opened for digest in group),
            SuccessRate.at_first(digest.first_attempt for digest in group),
        )
        for (policy, condition), group in groups.items()
    ]


def stage_samples(digests: Sequence[RolloutDigest]) -> dict[str, np.ndarray]:
    """All latencies [s] of some rollouts by stage, `stamp_to_command` included."""
    stages = {
        stage: np.concatenate([digest.stages_s[stage] for digest in digests])
        for stage in SHOWN_STAGES
    }
    commands = np.concatenate([digest.stamp_to_command_s for digest in digests])
    return {**stages, "stamp_to_command": commands}


def build_report(
    title: str,
    subtitle: str,
    digests: Sequence[RolloutDigest],
    policy: str,
    facts: Mapping[str, str],
    phases_s: Mapping[str, float] | None = None,
) -> Report:
    """The report of some rollouts.

    Args:
        title: of the page.
        subtitle: a line below it.
        digests: of all policies; those of `policy` come first.
        policy: the one the headline is about; the others are controls.
        facts: what else to know, as a table: name and value.
        phases_s: how long each phase of a demo took.

    Raises:
        DatasetError: no rollout of `policy`.
    """
    own = [digest for digest in digests if digest.policy == policy]
    if not own:
        raise DatasetError(f"no recorded rollout of policy {policy!r} to report")
    controls = list(dict.fromkeys(d.policy for d in digests if d.policy != policy))
    report = Report(title, subtitle)
    report.tiles(_tiles(digests, own, controls, phases_s))
    _success(report.section("Success"), digests, own, policy, controls)
    _videos(report, own, policy)
    for control in controls:
        _videos(report, [d for d in digests if d.policy == control], control)
    _latency(report.section("Latency"), own)
    details = report.section("Details")
    if facts:
        details.table(["what", "value"], [list(pair) for pair in facts.items()], "Settings")
    if phases_s:
        rows = [[name, f"{seconds:.1f} s"] for name, seconds in phases_s.items()]
        details.table(["phase", "wall time"], rows, "Where the time went")
    return report


def _tiles(
    digests: Sequence[RolloutDigest],
    own: Sequence[RolloutDigest],
    controls: Sequence[str],
    phases_s: Mapping[str, float] | None,
) -> list[Tile]:
    tiles = [
        Tile(
            _named("Doors opened", group.condition),
            group.opened.share,
            f"95 % interval {group.opened.low:.0%} to {group.opened.high:.0%}",
        )
        for group in group_rates(own)
    ]
    at_first = share_at_first(digest.first_attempt for digest in own)
    tiles.append(Tile("At the first attempt", at_first, "the gripper closed once"))
    for control in controls:
        part = SuccessRate.of(d.opened for d in digests if d.policy == control)
        interval = f"control; {part.low:.0%} to {part.high:.0%}"
        tiles.append(Tile(f"By {control}", part.share, interval))
    command = LatencySummary.of(stage_samples(own)["stamp_to_command"])
    if command.count:
        value, note = f"{command.median_ms:.0f} ms", f"median; 95 % below {command.p95_ms:.0f} ms"
        tiles.append(Tile("Camera stamp to command", value, note))
    tiles.append(Tile("Steps", str(sum(d.steps for d in own)), "executed in physics"))
    if phases_s:
        total = sum(phases_s.values())
        tiles.append(Tile("Wall time", f"{total / 60:.1f} min", "recording to report"))
    return tiles


def _success(
    section: Section,
    digests: Sequence[RolloutDigest],
    own: Sequence[RolloutDigest],
    policy: str,
    controls: Sequence[str],
) -> None:
    groups = group_rates([*own, *(d for d in digests if d.policy in controls)])
    section.table(
        ["policy", "condition", "opened, with retries [95 %]", "at the first attempt [95 %]"],
        [
            [group.policy, group.condition or None, str(group.opened), _at_first(group)]
            for group in groups
        ],
        f"Rollouts that opened the door by {OPENED_DEG:.0f}°, with Wilson's intervals",
    )
    rates = _rates(own, lambda digest: _named(policy, digest.condition, digest.cabinet))
    for group in groups:
        if group.policy in controls:
            rates[_named(group.policy, group.condition)] = group.opened
    bars = [
        plots.Bar(name, rate.successes / rate.trials, rate.low, rate.high, rate.share)
        for name, rate in rates.items()
    ]
    section.svg(
        plots.rate_bars(bars, f"door at least {OPENED_DEG:.0f}° open"),
        "Share of rollouts that opened the door, with 95 % Wilson intervals.",
    )
    angles = {
        f"{_named(digest.cabinet, digest.condition)} {number}": (
            digest.angle_deg[:, 0],
            digest.angle_deg[:, 1],
        )
        for number, digest in enumerate(own)
        if len(digest.angle_deg)
    }
    if angles:
        level = (OPENED_DEG, "opened")
        section.svg(
            plots.lines(angles, "wall time since the start [s]", "door angle [deg]", level),
            f"The door's angle in every rollout of {policy}.",
        )
    rows = [
        [
            digest.policy,
            digest.condition or None,
            digest.cabinet,
            digest.opened,
            UNKNOWN if digest.attempts is None else digest.attempts,
            _rounded(digest.final_angle_deg, 1),
            digest.steps,
            round(digest.duration_s, 1),
            digest.reason or "incomplete",
        ]
        for digest in digests
    ]
    header = ["policy", "condition", "cabinet", "opened", "attempts", "angle [deg]", "steps"]
    header += ["wall time [s]", "ended by"]
    section.table(header, rows, "Every rollout")


def _videos(report: Report, digests: Sequence[RolloutDigest], policy: str) -> None:
    items = [
        VideoItem(
            d.video, f"{_named(d.cabinet, d.condition)}, {d.steps} steps", d.opened, d.poster_rgb
        )
        for d in digests
        if d.video is not None
    ]
    if not items:
        return
    section = report.section(f"Rollouts of {policy}")
    section.text(
        "Left: what the wrist camera saw, with the predicted motion; middle: the demonstration "
        "frames that spoke for it, each with its own motion and weight; right: the scene."
    )
    section.videos(items)


def _latency(section: Section, own: Sequence[RolloutDigest]) -> None:
    samples = stage_samples(own)
    named = {SHOWN_STAGES.get(name, "stamp to command"): values for name, values in samples.items()}
    finite = {name: 1e3 * v[np.isfinite(v)] for name, v in named.items()}
    section.svg(
        plots.distributions({n: v for n, v in finite.items() if len(v)}, "ms"),
        "Median, quartiles, and 5 to 95 %.",
    )
    summaries = {name: LatencySummary.of(values) for name, values in named.items()}
    rows = [
        [name, _rounded(s.median_ms, 2), _rounded(s.p95_ms, 2), _rounded(s.p99_ms, 2), s.count]
        for name, s in summaries.items()
    ]
    section.table(["stage", "median [ms]", "95 % [ms]", "99 % [ms]", "samples"], rows)


def _latency_json(own: Sequence[RolloutDigest]) -> dict[str, dict[str, float | int | None]]:
    summaries = {name: LatencySummary.of(values) for name, values in stage_samples(own).items()}
    return {
        name: {
            "median": _rounded(summary.median_ms, 3),
            "p95": _rounded(summary.p95_ms, 3),
            "p99": _rounded(summary.p99_ms, 3),
            "count": summary.count,
        }
        for name, summary in summaries.items()
    }


def _rates(
    digests: Sequence[RolloutDigest], key: Callable[[RolloutDigest], Key]
) -> dict[Key, SuccessRate]:
    """Rates of the rollouts of each key, in the order in which the keys first appear."""
    groups: dict[Key, list[bool]] = {}
    for digest in digests:
        groups.setdefault(key(digest), []).append(digest.opened)
    return {name: SuccessRate.of(opened) for name, opened in groups.items()}


def _at_first(group: GroupRates) -> str:
    return UNKNOWN if group.first_attempt is None else str(group.first_attempt)


def _rate_json(rate: SuccessRate) -> dict[str, float]:
    return {
        "trials": rate.trials,
        "successes": rate.successes,
        "wilson_low": round(rate.low, 4),
        "wilson_high": round(rate.high, 4),
    }


def _named(*parts: str) -> str:
    """What is known of a rollout, with commas."""
    return ", ".join(part for part in parts if part)


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def video_path(folder: Path, recording: Path) -> Path:
    """Where the video of a recording goes."""
    return folder / f"{recording_name(recording)}.mp4"
