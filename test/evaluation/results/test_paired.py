"""Paired comparisons against brute force and known values."""

import itertools

import numpy as np
import pytest
from vinn.errors import ConfigError
from vinn.evaluation.statistics import mcnemar_exact, paired_difference


def test_mcnemar_is_the_share_of_coin_throws_at_least_as_lopsided():
    for only_first, only_second in [(0, 0), (1, 0), (5, 0), (3, 1), (4, 4), (7, 2)]:
        n = only_first + only_second
        off = abs(only_first - only_second)
        throws = list(itertools.product((0, 1), repeat=n))
        extreme = sum(abs(2 * sum(throw) - n) >= off for throw in throws)
        assert mcnemar_exact(only_first, only_second) == pytest.approx(extreme / len(throws))
        assert mcnemar_exact(only_second, only_first) == mcnemar_exact(only_first, only_second)


def test_difference_of_the_same_outcomes_is_zero_without_spread():
    found = paired_difference([True, False, True], [True, False, True])
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_clear_difference_excludes_zero_and_a_small_one_does_not():
    clear = paired_difference([True] * 30, [True] * 10 + [False] * 20)
    assert clear.low > 0
    assert clear.p_value < 1e-4
    assert (clear.only_first, clear.only_second) == (20, 0)
    small = paired_difference([True, True, False] + [True] * 27, [True, False, True] + [True] * 27)
    assert small.low < 0 < small.high
    assert small.p_value == 1.0


def test_interval_covers_the_true_difference_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for run in range(120):
        shared = rng.random(60)
        first, second = shared < 0.7, shared < 0.5  # true difference 0.2
        flip = rng.random(60) < 0.1
        second = np.where(flip, ~second, second)  # 0.1 of the outcomes flipped: 0.7 - 0.5 again
        found = paired_difference(first.tolist(), second.tolist(), seed=run)
        covered += found.low <= 0.2 <= found.high
    assert covered >= 0.85 * 120


def test_interval_is_narrower_than_that_of_independent_trials():
    rng = np.random.default_rng(1)
    base = rng.random(200) < 0.5
    better = base | (rng.random(200) < 0.1)
    paired = paired_difference(better.tolist(), base.tolist())
    shuffled = paired_difference(better.tolist(), rng.permutation(base).tolist())
    assert paired.high - paired.low < 0.7 * (shuffled.high - shuffled.low)


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], [True, False])])
def test_unequal_or_no_trials_are_refused(first, second):
    with pytest.raises(ConfigError, match="allowed: equal"):
        paired_difference(first, second)
