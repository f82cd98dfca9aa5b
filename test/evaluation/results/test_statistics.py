"""Intervals and summaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from vinn.errors import ConfigError
from vinn.evaluation.statistics import wilson_interval


@given(
    trials=st.integers(1, 500),
    share=st.floats(0, 1),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
)
def test_wilson_agrees_with_scipy(trials: int, share: float, confidence: float) -> None:
    successes = round(share * trials)
    low, high = wilson_interval(successes, trials, confidence)
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-9)
    assert high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= successes / trials <= high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ConfigError, match=f"{successes} successes of {trials}"):
        wilson_interval(successes, trials)
