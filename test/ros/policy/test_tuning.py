"""Settings an operator may change between rollouts."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.errors import ConfigError
from vinn.policies.build import build_policy
from vinn.policies.kinds import nearest
from vinn.policies.kinds.kind import BuildRequest
from vinn.policies.kinds.open_loop import KIND as OPEN_LOOP
from vinn.robot.config import RobotConfig
from vinn_ros.policy.loaded_policy import LoadedPolicy
from vinn_ros.policy.node import VinnPolicyNode
from vinn_ros.tuning import AS_CONFIGURED, TUNING, tuned


def test_untouched_is_as_configured() -> None:
    values = {parameter.name: AS_CONFIGURED for parameter in TUNING}
    assert tuned(RobotConfig(), values) == RobotConfig()


def test_given_values_win_and_zero_is_a_value() -> None:
    config = tuned(RobotConfig(), {"scale_up": 0.0, "gripper_close_above": 2.0})
    assert config.motion.scale == (1.0, 1.0, 0.0)
    assert (config.gripper.close_above, config.gripper.open_below) == (2.0, 0.75)
    assert config.tool == RobotConfig().tool
    assert config.gripper.attempts == RobotConfig().gripper.attempts
    assert tuned(RobotConfig(), {"gripper_attempts": 1}).gripper.attempts == 1


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ConfigError, match="tuning: gripper"):
        tuned(RobotConfig(), {"gripper_open_below": 2.5, "gripper_close_above": 1.0})


def test_neighbours_at_run_time(tmp_path) -> None:
    dataset = write_square_demos(tmp_path / "demos", 3)
    encoder = write_tiny_encoder(tmp_path / "encoder")
    policy = LoadedPolicy(build_policy(dataset, encoder, tmp_path / "policy", k=4), threads=1)

    def count() -> int:
        return len(policy.predict(square_image(0.5, 0.5), 1).neighbors)

    assert count() == 4
    policy.use_neighbors(2)
    assert count() == 2
    with pytest.raises(ConfigError, match="k: 1000 neighbours of 24"):
        policy.use_neighbors(1000)
    assert count() == 2
    policy.use_neighbors(0)
    assert count() == 4
    control = OPEN_LOOP.build(BuildRequest(dataset, tmp_path / "control"))
    with pytest.raises(ConfigError, match="has no neighbours"):
        LoadedPolicy(control, threads=1).use_neighbors(3)


def test_precision_reaches_the_encoder(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_square_demos(tmp_path / "demos", 3)
    encoder = write_tiny_encoder(tmp_path / "encoder")
    directory = build_policy(dataset, encoder, tmp_path / "policy", k=4)
    asked: list[str] = []
    real = nearest.load_encoder

    def load(where, threads, precision):
        asked.append(precision)
        return real(where, threads, precision)

    monkeypatch.setattr(nearest, "load_encoder", load)
    plain = LoadedPolicy(directory, threads=1).predict(square_image(0.5, 0.5), 1)
    fast = LoadedPolicy(directory, 1, "auto").predict(square_image(0.5, 0.5), 1)
    assert asked == ["fp32", "auto"]
    np.testing.assert_allclose(fast.camera_delta, plain.camera_delta, atol=1e-2)
    parameter = next(p for p in VinnPolicyNode.PARAMETERS if p.name == "precision")
    assert parameter.default == "fp32"
    assert parameter.problem("int8") is not None
