from __future__ import annotations

from pathlib import Path

import pytest
from ros_harness import Harness
from vinn_ros.api_reference import reference

pytestmark = pytest.mark.ros

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ros-api.md"


def test_the_page_says_what_the_nodes_declare(ros: Harness) -> None:
    declared, written = reference().splitlines(), PAGE.read_text().splitlines()
    missing = [line for line in declared if line not in written]
    extra = [line for line in written if line not in declared]
    assert not missing and not extra, "run: python -m vinn_ros.api_reference > docs/ros-api.md"
