from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TEST = Path(__file__).parents[1]
sys.path[:0] = [str(TEST / "fakes"), str(TEST / "ros"), str(TEST / "robot")]


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The shipped nodes as processes around a fake robot and camera."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (the wheels or an installation)")
    from fault_stack import running_stack

    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def stack(shared_stack: Any) -> Iterator[Any]:
    """The module's stack; what a row did to it is taken back afterwards."""
    yield shared_stack
    shared_stack.heal()
