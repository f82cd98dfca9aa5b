"""Implicit behaviour cloning at run time: the action of least energy (Florence et al. 2021)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vinn.demos.types import ActionScale
from vinn.encoders.encoder import Encoder
from vinn.errors import ConfigError
from vinn.policies.mlp import Mlp
from vinn.policies.parametric import ParametricPolicy, check_head

NOISE = 0.33
"""Standard deviation of the optimiser's first perturbation (Florence et al. 2021, table 7)."""
NOISE_SHRINK = 0.5


class ImplicitPolicy(ParametricPolicy):
    """Minimises E(embedding, action) over actions in [-1, 1]^3 without derivatives."""

    def __init__(
        self,
        encoder: Encoder,
        energy: Mlp,
        gripper: Mlp,
        length: float,
        action_scale: ActionScale,
        samples: int = 256,
        iterations: int = 3,
        seed: int = 0,
    ) -> None:
        """Bind the parts; `energy` maps (embedding, action), (D + 3,), to one number.

        Raises:
            ArtefactMismatchError: a head does not fit the encoder.
            ConfigError: too few samples or iterations.
        """
        super().__init__(encoder, gripper, length, action_scale)
        check_head("energy", energy, encoder.dimension + 3, 1)
        if samples < 2 or iterations < 1:
            raise ConfigError(
                f"samples: {samples}, iterations: {iterations}; allowed: at least 2 and 1"
            )
        # The embedding's share of the first layer is the same for all actions: computed once.
        self._first_embedding = energy.weights[0][:, : encoder.dimension]
        self._rest = Mlp(
            (energy.weights[0][:, encoder.dimension :], *energy.weights[1:]), energy.biases
        )
        self._samples, self._iterations, self._seed = samples, iterations, seed

    def direction(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """Derivative-free optimisation: sample, keep by softmin of the energy, perturb, repeat.

        The same embedding gives the same action: the sequence of samples is seeded anew.
        """
        rng = np.random.default_rng(self._seed)
        bias = self._rest.biases[0] + self._first_embedding @ embedding
        energy_of = Mlp(self._rest.weights, (bias, *self._rest.biases[1:]))
        actions = rng.uniform(-1, 1, (self._samples, 3)).astype(np.float32)
        noise = NOISE
        energy = energy_of(actions)[:, 0].astype(np.float64)
        for _ in range(self._iterations):
            weights = np.exp(energy.min() - energy)
            chosen = rng.choice(self._samples, self._samples, p=weights / weights.sum())
            perturbation = noise * rng.standard_normal((self._samples, 3))
            actions = np.clip(actions[chosen] + perturbation, -1, 1).astype(np.float32)
            energy = energy_of(actions)[:, 0].astype(np.float64)
            noise *= NOISE_SHRINK
        return actions[int(energy.argmin())].astype(np.float64)
