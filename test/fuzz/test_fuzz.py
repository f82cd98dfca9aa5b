"""Changed files of every kind: refused in one line, or read.

`python -m measure.fuzz_files` makes more of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import run_campaign
from samples import KINDS, Kind, digest

CHANGES = 205
"""Five of each kind."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_changed_is_sound_before(tmp_path: Path, kind: Kind) -> None:
    kind.make(tmp_path)
    first = digest(kind.read(tmp_path))
    if kind.covered:
        assert digest(kind.read(tmp_path)) == first


@pytest.mark.slow
def test_no_changed_file_escapes_waits_or_says_something_else() -> None:
    tallies = run_campaign(CHANGES, seed=1)
    assert [f"{name}: {bad}" for name, tally in tallies.items() for bad in tally.bad] == []
    assert len(tallies) == len(KINDS)
    assert sum(tally.tried for tally in tallies.values()) == CHANGES
    # Of what a checksum covers, hardly any change passes unseen, and none with other numbers.
    assert all(tallies[kind.name].refused >= 3 for kind in KINDS if kind.covered)
