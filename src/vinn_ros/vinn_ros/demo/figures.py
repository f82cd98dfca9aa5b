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
OPENED_GOAL_SHARE = 0.9
CONTROL_GOAL_SHARE = 0.5


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
            results.add(row.name, row.value, row.unit, row.goal)
    trials, latency = summary["trials"], summary["latency_ms"]
    results.add("demo, wall time after installation", summary["duration_s"], "s", "<= 360")
    results.add(
        "doors opened by the policy",
        summary["successes"],
        f"of {trials}",
        f">= {OPENED_GOAL_SHARE * trials:g}",
    )
    results.add("95 % Wilson interval, lower end", summary["wilson_low"])
    results.add("95 % Wilson interval, upper end", summary["wilson_high"])
    control = summary.get("control")
    if control is not None:
        results.add(
            "doors opened by the open-loop control",
            control["successes"],
            f"of {control['trials']}",
            f"<= {CONTROL_GOAL_SHARE * control['trials']:g}",
        )
    command = latency["stamp_to_command"]
    results.add("camera stamp to command, median", command["median"], "ms", "<= 60")
    results.add("camera stamp to command, 95 %", command["p95"], "ms")
    for stage in ("preprocess", "encode", "retrieve"):
        results.add(f"{stage}, median", latency[stage]["median"], "ms")
    results.add(
        "camera frames lost between processes", summary["camera_frames_lost"], "frames", "== 0"
    )
    results.add("demonstrations", summary["demonstrations"])
    results.add("k, by leave one demonstration out", summary["k"])
    results.add("bandwidth, by leave one demonstration out", summary["bandwidth"])
    results.add("difficulty", summary["difficulty"])
    return results.write(directory)
