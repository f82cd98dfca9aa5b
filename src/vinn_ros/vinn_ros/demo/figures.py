"""The demo's figures for `docs/results/foundation.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from vinn.evaluation.results import Results
from vinn.recordings.rollout_summary import RolloutDigest

NAME = "foundation"
COMMAND = "make setup && .venv/bin/vinn-demo --out runs/demo --results docs/results"
OPENED_GOAL_SHARE = {"easy": 0.9, "hard": 0.8}
CONTROL_GOAL_SHARE = 0.5
EARLIER = (
    "doors opened by the policy",
    "95 % Wilson interval, lower end",
    "95 % Wilson interval, upper end",
    "doors opened by the open-loop control",
    "k, by leave one demonstration out",
    "bandwidth, by leave one demonstration out",
    "difficulty",
)
"""Rows that the demo wrote when it had one difficulty; they go when it writes its own."""


def frames_lost(digests: Sequence[RolloutDigest], announced_ns: Collection[int]) -> int:
    """Camera frames that were published while a rollout was recorded, but not recorded.

    The recorder is in another process than the camera. Frames are told apart by their stamps; only
    those between the first and the last recorded frame of a rollout count.
    """
    announced = np.sort(np.fromiter(announced_ns, dtype=np.int64, count=len(announced_ns)))
    lost = 0
    for digest in digests:
        recorded = digest.frame_stamps_ns
        if len(recorded):
            inside = announced[(announced >= recorded.min()) & (announced <= recorded.max())]
            lost += int(np.count_nonzero(~np.isin(inside, recorded)))
    return lost


def write_results(directory: Path, summary: Mapping[str, Any]) -> Path:
    """Write the results file; figures measured by others stay in it.

    Raises:
        ConfigError: the file that is there is malformed.
    """
    path = directory / f"{NAME}.json"
    results = Results(NAME, COMMAND)
    if path.is_file():
        for row in Results.read(path).rows:
            if row.name not in EARLIER:
                results.keep(row)
    latency = summary["latency_ms"]
    results.add("demo, wall time after installation", summary["duration_s"], "s", "<= 360")
    for group in summary["groups"]:
        _add_group(results, group, of_policy=group["policy"] == summary["policy"])
    command = latency["stamp_to_command"]
    results.add("camera stamp to command, median", command["median"], "ms", "<= 60")
    results.add("camera stamp to command, 95 %", command["p95"], "ms")
    for stage in ("preprocess", "encode", "retrieve"):
        results.add(f"{stage}, median", latency[stage]["median"], "ms")
    results.add(
        "camera frames lost between processes", summary["camera_frames_lost"], "frames", "== 0"
    )
    results.add("demonstrations", summary["demonstrations"])
    results.add("difficulty of the demonstrations", summary["shown_difficulty"])
    results.add("detector of grasp points, training", summary["detector_s"], "s")
    return results.write(directory)


def _add_group(results: Results, group: Mapping[str, Any], of_policy: bool) -> None:
    """Doors opened by one policy at one difficulty, with retries and at the first attempt."""
    opened, first, difficulty = group["opened"], group["first_attempt"], group["condition"]
    trials = opened["trials"]
    share = OPENED_GOAL_SHARE[difficulty] if of_policy else CONTROL_GOAL_SHARE
    results.add(
        f"{difficulty}, doors opened by {group['policy']}",
        opened["successes"],
        f"of {trials}, {_interval(opened)}",
        f"{'>=' if of_policy else '<='} {share * trials:g}",
    )
    if first is not None:
        results.add(
            f"{difficulty}, doors opened by {group['policy']} at the first attempt",
            first["successes"],
            f"of {trials}, {_interval(first)}",
        )


def _interval(rate: Mapping[str, float]) -> str:
    return f"95 % {100 * rate['wilson_low']:.0f} to {100 * rate['wilson_high']:.0f} %"
