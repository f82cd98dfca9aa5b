"""How long things take in recorded rollouts: per stage, and from camera stamp to command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vinn.viz.timeline import RolloutTimeline

STAGES = ("preprocess", "encode", "retrieve")


@dataclass(frozen=True)
class LatencySummary:
    """Median, 95th and 99th percentile and number of some latencies [ms]; NaN without samples."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    count: int

    @classmethod
    def of(cls, seconds: NDArray[np.float64] | Sequence[float]) -> LatencySummary:
        """Summarise samples given in seconds."""
        values = 1e3 * np.asarray(seconds, dtype=np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(float("nan"), float("nan"), float("nan"), 0)
        median, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
        return cls(median, p95, p99, len(values))


def stage_latencies(timelines: Sequence[RolloutTimeline]) -> dict[str, NDArray[np.float64]]:
    """Seconds per stage over all recorded predictions, and `image_age` up to publication."""
    predictions = [entry for timeline in timelines for entry in timeline.predictions]
    stages = {
        stage: np.array([entry.prediction.latency_s[stage] for entry in predictions])
        for stage in STAGES
    }
    return {**stages, "image_age": np.array([entry.image_age_s for entry in predictions])}


def stamp_to_command(timelines: Sequence[RolloutTimeline]) -> NDArray[np.float64]:
    """Seconds from the stamp of the image a step was made from to the executor taking it on.

    Both stamps are wall-clock times of the same machine. The executor sends the command right after
    it has published that it takes the step on.
    """
    latencies = [
        (step.stamp_ns - prediction.stamp_ns) / 1e9
        for timeline in timelines
        for step, prediction in timeline.steps_with_predictions()
    ]
    return np.array(latencies, dtype=np.float64)
