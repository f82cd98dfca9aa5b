"""The recordings a console offers, and their pages."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vinn.errors import ConfigError, DatasetError
from vinn.rollout.label import read_label
from vinn.rollout.reader import RecordingSummary, summarize_recording
from vinn.rollout.recording_files import recording_name
from vinn.rollout.recordings import find_recordings

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_SHOWN = 50
_NICE = 15


class RecordingPages:
    """Lists a folder of recordings; pages are made by `vinn report` in a process of its own."""

    def __init__(self, folder: Path, policy: Callable[[], str]) -> None:
        """Args: the folder, and the directory of the artefact in use (empty: unknown)."""
        self._folder = folder
        self._policy = policy
        self._making = asyncio.Lock()
        self._known: dict[Path, tuple[int, RecordingSummary]] = {}

    def rows(self) -> list[dict[str, Any]]:
        """The newest recordings, the newest first."""
        try:
            paths = find_recordings([self._folder])
        except (DatasetError, OSError):
            return []  # none yet, or none that can be read
        return [self._row(path) for path in reversed(paths[-_SHOWN:])]

    async def page(self, session: str) -> Path:
        """The HTML page of a recording; made anew where the recording or its label is newer.

        Raises:
            vinn.errors.ConfigError: no such recording, or the page cannot be made.
        """
        if not _SESSION.fullmatch(session):
            raise ConfigError(
                f"session: {session[:100]!r}; allowed: up to 100 letters, digits, '-' and '_'"
            )
        recording = self._folder / f"{session}.mcap"
        if not recording.is_file():
            recording = recording.with_name(recording.name + ".partial")
        if not recording.is_file():
            raise ConfigError(f"session: {session!r}: no such recording")
        page = self._folder / "pages" / f"{session}.html"
        label = self._folder / f"{session}.label.json"
        async with self._making:
            sources = [path.stat().st_mtime for path in (recording, label) if path.exists()]
            if not page.exists() or page.stat().st_mtime < max(sources):
                await self._make(recording, page.parent)
        return page

    async def _make(self, recording: Path, folder: Path) -> None:
        policy = self._policy()
        arguments = ["report", "pages", str(recording), "--out", str(folder)]
        arguments += ["--policy", policy] if policy else []
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; from vinn.cli.main import main; main(sys.argv[1:])",
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # The robot's nodes come first.
            preexec_fn=lambda: os.nice(_NICE),
        )
        _, errors = await process.communicate()
        if process.returncode != 0:
            last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            raise ConfigError(f"{recording.name}: its page was not made: {last[0]}")

    def _row(self, path: Path) -> dict[str, Any]:
        session = recording_name(path)
        try:
            summary = self._summary(path)
            label = read_label(path)
        except (DatasetError, OSError) as error:
            return {"session": session, "problem": str(error)}
        return {
            "session": session,
            "name": summary.info.get("name", ""),
            "duration_s": round(summary.duration_s, 1),
            "reason": summary.ended_by,
            "steps": (summary.outcome or {}).get("steps", ""),
            "label": None if label is None else label.success,
            "note": "" if label is None else label.note,
        }

    def _summary(self, path: Path) -> RecordingSummary:
        """What a recording says; whole recordings do not change and are read once."""
        size = path.stat().st_size
        known = self._known.get(path)
        if known is None or known[0] != size:
            known = (size, summarize_recording(path))
            self._known[path] = known
        return known[1]
