"""Thresholds, hysteresis and the stall rule."""

import numpy as np
import pytest
from vinn.robot.gripper import GripperStateMachine, gripper_signal
from vinn.robot.gripper_config import EmptyRule, GripperConfig, StallRule

CONFIG = GripperConfig(
    close_above=1.6,
    open_below=0.8,
    min_closed_steps=0,
    stall=StallRule(motion_m=0.005, steps=3, close_above=0.9),
)


def probabilities(value):
    lower = min(int(value), 2)
    result = np.zeros(4)
    result[lower], result[lower + 1] = 1 - (value - lower), value - lower
    return result


HOLDS_A_BAR_M = 0.012


def run(config, values, motions=None, apertures=None):
    machine = GripperStateMachine(config)
    motions = motions if motions is not None else [1.0] * len(values)
    apertures = apertures if apertures is not None else [HOLDS_A_BAR_M] * len(values)
    return [
        machine.update(value, probabilities(value), aperture, motion)
        for value, motion, aperture in zip(values, motions, apertures, strict=True)
    ]


def test_hysteresis_ignores_noise_between_the_thresholds():
    rng = np.random.default_rng(0)
    noisy = rng.uniform(0.81, 1.59, 200)
    assert not any(run(CONFIG, noisy))
    assert all(run(CONFIG, [2.0, *noisy]))


def test_closes_at_one_threshold_and_opens_below_the_other():
    assert run(CONFIG, [0.0, 1.6, 0.8, 0.79, 1.59, 3.0]) == [False, True, True, False, False, True]


def test_stays_closed_for_the_configured_number_of_steps():
    config = CONFIG.model_copy(update={"min_closed_steps": 3})
    assert run(config, [3.0, 0, 0, 0, 0]) == [True, True, True, True, False]


def test_stall_rule_closes_a_hovering_hand_but_not_one_that_moves_or_is_far():
    hover = [1.0] * 5
    assert run(CONFIG, hover, [0.001] * 5) == [False, False, False, True, True]
    assert not any(run(CONFIG, hover, [0.02] * 5))
    assert not any(run(CONFIG, [0.5] * 5, [0.001] * 5))
    # One real motion starts the count again.
    assert not any(run(CONFIG, hover, [0.001, 0.001, 0.02, 0.001, 0.001]))


def test_stall_rule_can_be_switched_off():
    config = CONFIG.model_copy(update={"stall": StallRule(enabled=False)})
    assert not any(run(config, [1.5] * 50, [0.0] * 50))


def test_stall_count_starts_afresh_after_opening():
    # Closed steps without motion (a heavy door) must not close the gripper again once opened.
    closed = run(CONFIG, [3.0, 2.0, 2.0, 2.0, 0.5, 1.0, 1.0], [0.0] * 7)
    assert closed == [True, True, True, True, False, False, False]


def test_closed_on_nothing_opens_and_may_not_close_again_at_once():
    config = CONFIG.model_copy(update={"empty": EmptyRule(aperture_m=0.004, open_steps=2)})
    apertures = [0.064, -0.002, 0.064, 0.064, 0.064, 0.012, 0.012]
    closed = run(config, [3.0] * 7, apertures=apertures)
    assert closed == [True, False, False, False, True, True, True]


def test_a_handle_lost_while_pulling_opens_the_gripper():
    closed = run(CONFIG, [3.0] * 5, apertures=[0.064, 0.012, 0.011, 0.001, 0.001])
    assert closed == [True, True, True, False, False]


def test_closings_and_misses_are_counted():
    config = CONFIG.model_copy(update={"empty": EmptyRule(aperture_m=0.004, open_steps=1)})
    machine = GripperStateMachine(config)
    counts = []
    # Closes on nothing, backs off, closes again on nothing, then on a bar; lets go; closes again.
    for value, aperture_m in (
        (3.0, 0.064),
        (3.0, -0.002),
        (3.0, 0.064),
        (3.0, 0.064),
        (3.0, 0.001),
        (3.0, 0.064),
        (3.0, 0.064),
        (3.0, 0.012),
        (3.0, 0.012),
        (3.0, 0.012),
        (0.0, 0.012),
        (3.0, 0.064),
    ):
        machine.update(value, probabilities(value), aperture_m)
        counts.append((machine.memory.closings, machine.memory.misses))
    assert counts == [
        *[(1, 0), (1, 1), (1, 1), (2, 1), (2, 2), (2, 2)],
        *[(3, 2)] * 5,
        (4, 2),
    ]


def test_the_empty_rule_can_be_switched_off():
    config = CONFIG.model_copy(update={"empty": EmptyRule(enabled=False)})
    assert all(run(config, [3.0] * 20, apertures=[-0.01] * 20))


def test_probability_signal_counts_the_two_closing_states():
    config = GripperConfig(signal="probability")
    assert gripper_signal(0.0, np.array([0.1, 0.2, 0.3, 0.4]), config) == pytest.approx(2.1)
    assert gripper_signal(3.0, np.array([1.0, 0.0, 0.0, 0.0]), config) == 0.0


def test_default_thresholds_never_chatter_on_a_slow_noisy_ramp():
    rng = np.random.default_rng(3)
    for _ in range(50):
        values = np.clip(np.linspace(0, 3, 60) + rng.normal(0, 0.2, 60), 0, 3)
        closed = np.array(run(GripperConfig(), values))
        assert np.abs(np.diff(closed.astype(int))).sum() == 1


FLAT = probabilities(0.0)


def test_after_the_grasp_another_threshold_counts() -> None:
    config = GripperConfig(min_closed_steps=0, open_below=0.75, open_below_holding=0.2)
    machine = GripperStateMachine(config)
    assert machine.update(2.0, FLAT)
    assert machine.update(0.5, FLAT, aperture_m=0.02), "0.5 lets go of nothing that is held"
    assert not machine.update(0.1, FLAT, aperture_m=0.02)
    assert machine.update(2.0, FLAT)
    # The fingers stop nowhere: nothing is held, the plain threshold counts.
    without_empty = config.model_copy(update={"empty": EmptyRule(enabled=False)})
    machine = GripperStateMachine(without_empty)
    assert machine.update(2.0, FLAT)
    assert not machine.update(0.5, FLAT, aperture_m=0.0)


def test_a_sticky_gripper_never_lets_go_of_what_it_holds() -> None:
    machine = GripperStateMachine(GripperConfig(min_closed_steps=0, sticky=True))
    assert machine.update(2.0, FLAT)
    for _ in range(50):
        assert machine.update(0.0, FLAT, aperture_m=0.02)
    # With nothing between the fingers it opens and approaches anew.
    assert not machine.update(0.0, FLAT, aperture_m=0.0)


def test_thresholds_of_hysteresis_hold_after_the_grasp_as_well() -> None:
    with pytest.raises(ValueError, match="open_below_holding 2"):
        GripperConfig(close_above=1.5, open_below_holding=2.0)
