"""A policy that hears of sessions and steps: each step once, whatever is lost or said again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.policies.episode import REMEMBERED_PREDICTIONS, Episode, Position, StepReport
from vinn.policies.types import Prediction, TakenStep

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Diary:
    """Writes down what it is told."""

    action_scale = ActionScale.METRIC

    def __init__(self) -> None:
        self.resets = 0
        self.steps: list[tuple[int, TakenStep]] = []
        self._count = 0

    def reset(self) -> None:
        self.resets += 1
        self.steps = []

    def predict(self, image_rgb: np.ndarray) -> Prediction:
        self._count += 1
        return Prediction(np.zeros(3), 0.0, np.eye(4)[0], ActionScale.METRIC, trace=self._count)

    def advance(self, prediction: Prediction, step: TakenStep) -> None:
        assert isinstance(prediction.trace, int)
        self.steps.append((prediction.trace, step))

    @property
    def way_m(self) -> np.ndarray:
        return np.sum([step.camera_delta_m for _, step in self.steps], axis=0)


class Robot:
    """Takes steps and reports them, as an executor does."""

    def __init__(self, rng: np.random.Generator, session: str) -> None:
        self.rng, self.session = rng, session
        self.sequence = self.steps_taken = 0
        self.travelled_m = np.zeros(3)

    def step(self, prediction_sequence: int) -> StepReport:
        self.sequence += int(self.rng.integers(1, 3))  # some requests were refused
        self.steps_taken += 1
        moved_m, sent_m = self.rng.normal(scale=0.02, size=(2, 3))
        self.travelled_m = self.travelled_m + moved_m
        closed = bool(self.rng.integers(2))
        aperture_m, missed = float(self.rng.uniform(0, 0.06)), bool(self.rng.integers(2))
        taken = TakenStep(moved_m, sent_m, closed, aperture_m, missed)
        return StepReport(
            self.session,
            self.sequence,
            self.steps_taken,
            prediction_sequence,
            self.travelled_m,
            taken,
        )


@pytest.mark.parametrize("seed", range(6))
def test_every_step_is_taken_once_however_often_it_is_said(seed: int) -> None:
    rng = np.random.default_rng(seed)
    diary = Diary()
    episode = Episode(diary)
    number = 0
    for session in ("a", "b"):
        robot = Robot(rng, session)
        old: list[StepReport] = []
        expected = []
        episode.tell_session(session)
        for _ in range(20):
            for _ in range(int(rng.integers(1, 15))):
                number += 1
                chosen = episode.predict(IMAGE, number), number
                assert episode.position == Position(session, robot.sequence)
            report = robot.step(chosen[1])
            expected.append((chosen[0].trace, report.taken))
            old.append(report)
            # Repeated, delayed, and of other sessions.
            for said in (report, old[rng.integers(len(old))], report, replace(report, session="z")):
                episode.tell_step(said)
                episode.tell_session(session)
        episode.catch_up()
        assert diary.steps == expected
        assert not episode.lost_track
    assert diary.resets == 3  # at the beginning, and for each session


@pytest.mark.parametrize("seed", range(6))
def test_lost_reports_cost_no_step_and_no_millimetre(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    diary, robot = Diary(), Robot(rng, "s")
    episode = Episode(diary)
    episode.tell_session("s")
    for number in range(1, 31):
        episode.predict(IMAGE, number)
        report = robot.step(number)
        if rng.uniform() < 0.6:
            episode.tell_step(report)
            episode.catch_up()
            assert len(diary.steps) == robot.steps_taken
            np.testing.assert_allclose(diary.way_m, robot.travelled_m, atol=1e-12)
            assert diary.steps[-1][1] == report.taken
            assert episode.position.step == robot.sequence


def test_what_a_policy_was_told_before_it_was_loaded_is_where_it_begins_anew() -> None:
    rng = np.random.default_rng(3)
    robot = Robot(rng, "s")
    for n in range(1, 5):
        report = robot.step(n)
    diary = Diary()
    episode = Episode(diary)
    # The step may be heard of before the session, over another topic; it is said again.
    episode.tell_step(report)
    episode.tell_session("s")
    episode.tell_step(report)
    episode.predict(IMAGE, 100)
    assert episode.position == Position("s", robot.sequence)
    assert "did not make" in episode.lost_track
    assert diary.steps == []
    report = robot.step(100)
    episode.tell_step(report)
    episode.catch_up()
    assert diary.steps == [(1, report.taken)]
    # The next rollout is a rollout like any other.
    episode.tell_session("t")
    episode.catch_up()
    assert (episode.lost_track, episode.position) == ("", Position("t", 0))


def test_predictions_too_old_to_be_executed_are_let_go() -> None:
    diary, robot = Diary(), Robot(np.random.default_rng(0), "s")
    episode = Episode(diary)
    episode.tell_session("s")
    for number in range(1, 5 * REMEMBERED_PREDICTIONS):
        episode.predict(IMAGE, number)
    assert len(episode._predictions) == REMEMBERED_PREDICTIONS
    episode.tell_step(robot.step(number - REMEMBERED_PREDICTIONS + 1))
    episode.catch_up()
    assert len(diary.steps) == 1
    episode.tell_step(robot.step(number - REMEMBERED_PREDICTIONS))
    episode.catch_up()
    assert diary.steps == []
    assert episode.lost_track


def test_outside_of_a_rollout_nothing_is_remembered() -> None:
    diary, robot = Diary(), Robot(np.random.default_rng(0), "s")
    episode = Episode(diary)
    episode.tell_session("s")
    episode.predict(IMAGE, 1)
    episode.tell_step(robot.step(1))
    episode.catch_up()
    assert len(diary.steps) == 1
    episode.tell_session("")
    episode.predict(IMAGE, 2)
    assert (episode.position, diary.steps, episode.running) == (Position(), [], False)
    episode.tell_step(robot.step(2))
    episode.catch_up()
    assert diary.steps == []


def test_after_a_step_by_hand_the_policy_begins_anew_and_says_so() -> None:
    robot, diary = Robot(np.random.default_rng(0), "a"), Diary()
    episode = Episode(diary)
    episode.tell_session("a")
    episode.predict(IMAGE, 1)
    episode.tell_step(robot.step(1))
    episode.predict(IMAGE, 2)
    assert (len(diary.steps), episode.lost_track) == (1, "")
    by_hand = robot.step(0)
    episode.tell_step(by_hand)
    episode.predict(IMAGE, 3)
    assert diary.steps == []
    assert episode.lost_track == f"step {by_hand.step} was driven by hand: it begins anew"
    assert episode.position == Position("a", by_hand.step)
    episode.tell_step(robot.step(3))
    episode.predict(IMAGE, 4)
    assert len(diary.steps) == 1
