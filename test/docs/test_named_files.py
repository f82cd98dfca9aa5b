"""Files of the repository that the manual names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documented import ROOT, pages

NAMED = re.compile(
    r"(?<![\w/.])(?:config|docker|examples|findings|launch|measure|src|test|tools)/[\w./-]*\w"
)
OF_THE_READER = {
    "config/cameras/NAME.json",
    "config/cameras/mounted.yaml",
    "config/cameras/webcam.json",
    "test/AREA",
}
"""Files that a reader makes, and a place holder."""


def named(page: Path) -> set[str]:
    return set(NAMED.findall(page.read_text())) - OF_THE_READER


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page: Path) -> None:
    assert {name for name in named(page) if not (ROOT / name).exists()} == set()


def test_readers_files_are_not_ours() -> None:
    text = "".join(page.read_text() for page in pages())
    for name in OF_THE_READER:
        assert name in text and not (ROOT / name).exists()
