"""Where each rollout starts: seeded displacements, or a fixed schedule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.rollout.config import StartPosesConfig


class StartPoses:
    """Displacement i depends on the seed and on i alone, so any trial can be repeated by itself."""

    def __init__(self, config: StartPosesConfig, seed: int) -> None:
        self._config = config
        self._seed = seed

    def offset(self, index: int) -> NDArray[np.float64]:
        """(3,) displacement number `index` (>= 0) in gripper axes: right, forward, up [m]."""
        config = self._config
        if config.schedule:
            return np.array(config.schedule[index % len(config.schedule)], dtype=np.float64)
        lower, upper = np.array([config.right_m, config.forward_m, config.up_m]).T
        return np.random.default_rng([self._seed, index]).uniform(lower, upper)
