from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

try:
    import rclpy  # noqa: F401
except ImportError:  # rows that need no ROS run all the same
    collect_ignore = [
        path.name
        for path in Path(__file__).parent.glob("test_*.py")
        if path.name not in ("test_actions.py", "test_files.py")
    ]


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The shipped nodes as processes around a fake robot and camera."""
    from fault_stack import running_stack

    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def stack(shared_stack: Any) -> Iterator[Any]:
    """The module's stack; what a row did to it is taken back afterwards."""
    yield shared_stack
    shared_stack.heal()
