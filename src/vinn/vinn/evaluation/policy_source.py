"""Where a policy is, so that another process can open it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vinn.evaluation.trial_pool import Kept
from vinn.policies.artefact import open_artefact
from vinn.policies.types import Policy


@dataclass(frozen=True)
class PolicySource:
    """A policy artefact and what differs from it.

    Attributes:
        directory: of the artefact.
        threads: of the encoder.
        k: neighbours; None: the artefact's.
        bandwidth: of the kernel; None: the artefact's.
    """

    directory: Path
    threads: int = 1
    k: int | None = None
    bandwidth: float | None = None

    def open(self) -> Policy:
        """The policy; see `open_artefact` and `PolicyArtefact.policy`."""
        policy: Policy = open_artefact(self.directory).policy(self.threads, self.k, self.bandwidth)
        return policy


_policies: Kept[Policy] = Kept(PolicySource.open)


def opened_policy(source: PolicySource) -> Policy:
    """The policy of a source, opened once for trials one after the other.

    Raises:
        ArtefactError, ArtefactMismatchError, ConfigError: see `open_artefact`.
    """
    return _policies.of(source)
