"""An operator's verdict on a rollout, kept beside its recording as `SESSION.label.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from vinn.errors import DatasetError


@dataclass(frozen=True)
class RolloutLabel:
    """What the operator said of the rollout `session`."""

    session: str
    success: bool
    note: str = ""


def label_path(recording: Path) -> Path:
    """Where the label of a recording is: `a/S.mcap` (or `.mcap.partial`) -> `a/S.label.json`."""
    return recording.with_name(f"{recording.name.partition('.')[0]}.label.json")


def write_label(folder: Path, label: RolloutLabel) -> Path:
    """Write a label atomically, over an older one of the same session.

    Raises:
        DatasetError: the file cannot be written.
    """
    path = folder / f"{label.session}.label.json"
    temporary = path.with_name(path.name + ".tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(label), indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DatasetError(f"{path}: not written ({error.strerror})") from error
    return path


def read_label(recording: Path) -> RolloutLabel | None:
    """The label of a recording; None: nobody has labelled it.

    Raises:
        DatasetError: the file is malformed.
    """
    path = label_path(recording)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return RolloutLabel(
            str(content["session"]), content["success"] is True, str(content.get("note", ""))
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: not a label (session, success, note)") from error
