"""Fixtures of the tests of learning."""

from __future__ import annotations

import pytest
from square_demonstrations import write_square_demonstrations
from vinn.demos.store import Dataset


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six demonstrations of six frames."""
    return write_square_demonstrations(tmp_path_factory.mktemp("squares") / "data", 6, seed=3)
