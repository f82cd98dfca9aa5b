"""AdamW (Loshchilov and Hutter, 2019) with one cycle of its rate (Smith and Topin, 2018)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SQUARES, EPSILON = 0.999, 1e-8
RISING_SHARE = 0.3
FIRST, LAST = 1 / 25, 1e-4 / 25
"""Of the highest rate: where the cycle begins and where it ends."""
MOMENTA = (0.95, 0.85)
"""At the lowest and at the highest rate."""

Parameters = dict[str, NDArray[np.float32]]


class OneCycleAdamW:
    """Changes parameters in place.

    Args:
        parameters: by name.
        rate: the highest learning rate.
        weight_decay: share of the rate by which parameters shrink in each step.
        steps: in all.
    """

    def __init__(
        self, parameters: Parameters, rate: float, weight_decay: float, steps: int
    ) -> None:
        self._parameters, self._rate, self._decay = parameters, rate, weight_decay
        self._steps, self._done = max(steps, 2), 0
        self._mean = {name: np.zeros_like(value) for name, value in parameters.items()}
        self._square = {name: np.zeros_like(value) for name, value in parameters.items()}

    def step(self, gradients: Parameters) -> None:
        """One step along the gradients of the same names."""
        share, momentum = cycle(self._done, self._steps)
        self._done += 1
        rate = share * self._rate
        for name, value in self._parameters.items():
            gradient, mean, square = gradients[name], self._mean[name], self._square[name]
            mean += (1 - momentum) * (gradient - mean)
            square += (1 - SQUARES) * (gradient**2 - square)
            size = np.sqrt(square) / math.sqrt(1 - SQUARES**self._done) + EPSILON
            value *= 1 - rate * self._decay
            value -= rate / (1 - momentum**self._done) * mean / size


def cycle(step: int, steps: int) -> tuple[float, float]:
    """Share of the highest rate, and momentum, in a step (0 is the first of `steps`)."""
    top, end = RISING_SHARE * steps - 1, steps - 1.0
    if step <= top:
        part, shares, momenta = step / top, (FIRST, 1.0), MOMENTA
    else:
        part, shares, momenta = (step - top) / (end - top), (1.0, LAST), MOMENTA[::-1]
    return _eased(*shares, part), _eased(*momenta, part)


def _eased(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
