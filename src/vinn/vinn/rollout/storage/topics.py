"""Topics by their names' ends: what one robot records stands in that robot's namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vinn.errors import DatasetError


def ends_in(topic: str, wanted: str) -> bool:
    """Whether a topic is a wanted one, in any namespace; whole names between slashes count."""
    wanted = wanted.strip("/")
    return f"/{topic.strip('/')}".endswith(f"/{wanted}")


def find_topic(recorded: Iterable[str], wanted: str, path: Path) -> str | None:
    """The recorded topic that is meant: of that very name, else the one that ends so.

    Raises:
        DatasetError: several do; names them.
    """
    names = list(recorded)
    for name in names:
        if name.strip("/") == wanted.strip("/"):
            return name
    found = [name for name in names if ends_in(name, wanted)]
    if len(found) > 1:
        raise DatasetError(
            f"{path}: {wanted} was recorded in several namespaces; allowed: one of "
            f"{', '.join(sorted(found))}"
        )
    return found[0] if found else None


def check_type(path: Path, topic: str, found: str, allowed: Sequence[str]) -> None:
    """Refuse a topic of another type, before any of its messages is looked at.

    Raises:
        DatasetError: names topic, type found and types allowed.
    """
    if found not in allowed:
        raise DatasetError(
            f"{path}: {topic} is of type {found or 'unknown'}; allowed: {' or '.join(allowed)}"
        )


def find_topics(
    path: Path, recorded: Mapping[str, str], wanted: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """For each recorded topic that is wanted, which one it is.

    Args:
        path: of the recording, for messages.
        recorded: topics and their types.
        wanted: topics and the types they may have.

    Returns:
        Recorded name to wanted name.

    Raises:
        DatasetError: one was recorded in several namespaces, or has another type.
    """
    found: dict[str, str] = {}
    for name, allowed in wanted.items():
        topic = find_topic(recorded, name, path)
        if topic is not None:
            check_type(path, topic, recorded[topic], allowed)
            found[topic] = name
    return found
