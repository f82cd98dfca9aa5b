from __future__ import annotations

from pathlib import Path

import pytest
from recorded_rollout import record_rollout
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.policies.build import build_policy


@pytest.fixture(scope="session")
def square_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """demos/, encoder/ and policy/ of the tiny encoder; k 6."""
    root = tmp_path_factory.mktemp("square")
    dataset = write_square_demos(root / "demos", 5)
    write_tiny_encoder(root / "encoder")
    build_policy(dataset, root / "encoder", root / "policy", k=6, bandwidth=0.5)
    return root


@pytest.fixture(scope="session")
def rollout(square_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of twelve images and what the policy said of eleven of them."""
    return record_rollout(tmp_path_factory.mktemp("rollout") / "a.mcap", square_policy / "policy")
