"""A rollout's status in one line."""

from __future__ import annotations

from vinn_msgs.msg import RolloutStatus

_OUTCOMES = {
    RolloutStatus.UNKNOWN: "not labelled",
    RolloutStatus.FAILURE: "failure",
    RolloutStatus.SUCCESS: "success",
}
_STATES = {
    RolloutStatus.IDLE: "IDLE",
    RolloutStatus.RESETTING: "RESETTING",
    RolloutStatus.READY: "READY",
    RolloutStatus.RUNNING: "RUNNING",
    RolloutStatus.ENDED: "ENDED",
}


def describe(status: RolloutStatus) -> str:
    """State, progress, outcome, reason and recording, as far as there are such."""
    parts = [_STATES.get(status.state, f"state {status.state}")]
    if status.session:
        parts.append(f"{status.session} step {status.step}/{status.max_steps}")
        parts.append(f"{status.elapsed_s:.1f} s")
    if status.driven:
        parts.append("driven by hand")
    if status.state == RolloutStatus.ENDED:
        parts.append(_OUTCOMES.get(status.outcome, f"outcome {status.outcome}"))
    if status.reason not in ("", "NONE"):
        parts.append(f"{status.reason} {status.message}".strip())
    if status.recording:
        parts.append(status.recording)
    return "; ".join(parts)
