"""Which film a clip is of: its content says so, not its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinn.demos.files import sha256_file
from vinn.errors import CameraError

TOOL = "vinn ingest"
"""What the provenance of its demonstrations says."""


@dataclass(frozen=True)
class Film:
    """A range of a film: SHA-256 of the file, and the range [s] (`end_s` None: to its end)."""

    sha256: str
    start_s: float = 0.0
    end_s: float | None = None

    @classmethod
    def of(cls, video: Path, start_s: float = 0.0, end_s: float = float("inf")) -> Film:
        """The film in a file.

        Raises:
            CameraError: it cannot be read.
        """
        sha256 = sha256_file(video, CameraError)
        return cls(sha256, start_s, None if end_s == float("inf") else end_s)

    @classmethod
    def of_key(cls, key: Any) -> Film | None:
        """What a work folder's `key.json` says; None where it says nothing of a film."""
        try:
            settings = key["settings"]
            return cls._read(key["video_sha256"], settings.get("start_s", 0), settings.get("end_s"))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    @classmethod
    def of_provenance(cls, provenance: Mapping[str, Any]) -> Film | None:
        """What a demonstration says; None where it is not of a film, or does not say the range (as
        those that were written before ranges were kept).
        """
        if provenance.get("tool") != TOOL:
            return None
        try:
            start_s, end_s = provenance["range_s"]
            return cls._read(provenance["video_sha256"], start_s, end_s)
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def range_s(self) -> tuple[float, float | None]:
        """As the provenance keeps it."""
        return self.start_s, self.end_s

    @classmethod
    def _read(cls, sha256: Any, start_s: Any, end_s: Any) -> Film:
        return cls(str(sha256), float(start_s), None if end_s is None else float(end_s))
