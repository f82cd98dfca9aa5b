"""Which clip each film becomes.

Cameras begin their numbering again every day, so two films have one name sooner or later, and one
film may be copied and renamed. The same film is recognised under any name, and another one gets a
name, a work folder, labels and a demonstration of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinn.errors import CameraError, VinnError
from vinn.ingest.batch import ClipTask
from vinn.ingest.film import TOOL, Film
from vinn.reading.documents import read_json

_LONGEST_STEM = 60
_SHORTEST_MARK = 8
"""Hexadecimal digits of the hash that tell films of one name apart."""


@dataclass(frozen=True)
class Assignment:
    """Which clip each film becomes.

    Attributes:
        tasks: one for each film; a film that was given twice is done once.
        notes: what a user would not expect, one line each.
    """

    tasks: tuple[ClipTask, ...]
    notes: tuple[str, ...]


def clip_name(video: Path, start_s: float = 0.0, end_s: float = float("inf")) -> str:
    """What the clip of a range of a video is called, if no other film has that name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", video.stem).strip("-._")[:_LONGEST_STEM] or "clip"
    if start_s == 0.0 and end_s == float("inf"):
        return stem
    # Written out, since "1e+06" would not do as a name.
    bounds = [f"{bound:.3f}".rstrip("0").rstrip(".") for bound in (start_s, end_s)]
    return f"{stem}-{bounds[0]}-{bounds[1]}s" if end_s < float("inf") else f"{stem}-{bounds[0]}s"


def assign_clips(
    videos: Sequence[Path],
    work_root: Path,
    dataset_root: Path,
    start_s: float = 0.0,
    end_s: float = float("inf"),
) -> Assignment:
    """Name the clip of each video: as before for a film that is known, else after its file.

    A name that another film has, there or among the others given, is made one of its own by the
    first digits of the film's hash. Names that differ in case alone count as one: on some disks
    they are.

    Raises:
        CameraError: a video cannot be read.
    """
    known = dict(_known_films(work_root, dataset_root))
    before = set(_films_without_range(dataset_root))
    taken = {name.casefold() for name in _entries(work_root, dataset_root)}
    tasks: list[ClipTask] = []
    notes: list[str] = []
    first: dict[Film, Path] = {}
    for video in videos:
        film = _film_or_missing(video, start_s, end_s)
        if film in first:
            notes.append(f"{video} is the same film as {first[film]}: done once")
            continue
        first[film] = video
        wanted = clip_name(video, start_s, end_s)
        name = wanted if (film.sha256, wanted) in before else known.get(film)
        if name is None:
            name = _free_name(wanted, film, taken)
            if name != wanted:
                notes.append(f"{video}: another film is called '{wanted}'; this one is '{name}'")
        elif not name.startswith(wanted):
            notes.append(f"{video} is the film of clip '{name}'")
        taken.add(name.casefold())
        tasks.append(ClipTask(video, name))
    return Assignment(tuple(tasks), tuple(notes))


def _film_or_missing(video: Path, start_s: float, end_s: float) -> Film:
    """The film of a file; of one that cannot be read its path, so that the others go on: what is
    wrong with it is said when its turn comes.
    """
    try:
        return Film.of(video, start_s, end_s)
    except CameraError:
        return Film(str(video), start_s, None if end_s == float("inf") else end_s)


def _free_name(wanted: str, film: Film, taken: set[str]) -> str:
    name, digits = wanted, _SHORTEST_MARK
    while name.casefold() in taken and digits <= len(film.sha256):
        name, digits = f"{wanted}-{film.sha256[:digits]}", digits * 2
    return name


def _known_films(work_root: Path, dataset_root: Path) -> Iterator[tuple[Film, str]]:
    """Films and the names of their clips; what a work folder says goes before."""
    for name, provenance in _provenances(dataset_root):
        film = Film.of_provenance(provenance)
        if film is not None:
            yield film, name
    for path in sorted(work_root.glob("*/key.json")):
        film = Film.of_key(_content(path))
        if film is not None:
            yield film, path.parent.name


def _films_without_range(dataset_root: Path) -> Iterator[tuple[str, str]]:
    """Hash of the film and name, of demonstrations that do not say their range."""
    for name, provenance in _provenances(dataset_root):
        if provenance.get("tool") == TOOL and "range_s" not in provenance:
            yield str(provenance.get("video_sha256")), name


def _provenances(dataset_root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of demonstrations, and how they came to be."""
    for path in sorted(dataset_root.glob("*/meta.json")):
        meta = _content(path)
        provenance = meta.get("provenance") if isinstance(meta, dict) else None
        if isinstance(provenance, dict):
            yield path.parent.name, provenance


def _content(path: Path) -> Any:
    """What a JSON file holds; None where it is damaged: its folder's name is taken all the same."""
    try:
        return read_json(path, VinnError)
    except VinnError:
        return None


def _entries(*roots: Path) -> Iterator[str]:
    for root in roots:
        if root.is_dir():
            yield from (entry.name for entry in root.iterdir())
