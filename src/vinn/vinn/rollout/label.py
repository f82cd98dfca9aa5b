"""An operator's verdict on a rollout, kept beside its recording as `SESSION.label.json`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from vinn.demos.files import atomic_file
from vinn.errors import DatasetError
from vinn.reading.documents import read_json
from vinn.rollout.recording_files import recording_name


@dataclass(frozen=True)
class RolloutLabel:
    """What the operator said of the rollout `session`."""

    session: str
    success: bool
    note: str = ""


def label_path(recording: Path) -> Path:
    """Where the label of a recording is: `a/S.mcap` (or `.mcap.partial`) -> `a/S.label.json`."""
    return recording.with_name(f"{recording_name(recording)}.label.json")


def write_label(folder: Path, label: RolloutLabel) -> Path:
    """Write a label atomically, over an older one of the same session.

    Raises:
        DatasetError: the file cannot be written.
    """
    path = folder / f"{label.session}.label.json"
    with atomic_file(path, DatasetError) as file:
        file.write((json.dumps(asdict(label), indent=2) + "\n").encode())
    return path


def read_label(recording: Path) -> RolloutLabel | None:
    """The label of a recording; None: nobody has labelled it.

    Raises:
        DatasetError: the file is malformed.
    """
    path = label_path(recording)
    if not os.path.lexists(path):
        return None
    content = read_json(path, DatasetError)
    known = isinstance(content, dict) and isinstance(content.get("session"), str)
    if not known or not isinstance(content.get("success"), bool):
        raise DatasetError(f"{path}: not a label (session, success, note)")
    return RolloutLabel(content["session"], content["success"], str(content.get("note", "")))
