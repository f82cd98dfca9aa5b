"""Which predictions a step may be decided by, and what shows that two policies speak."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from vinn.errors import MessageError
from vinn.robot.types import ReasonCode
from vinn.rollout.loop import RolloutInterrupted
from vinn_ros.conversions import from_prediction_msg, to_stamp, to_step_request
from vinn_ros.supervisor.policy_link import Known, PolicyLimits, PolicyLink

from vinn_msgs.msg import PolicyStatus, Prediction

LIMITS = PolicyLimits(prediction_timeout_s=0.2, policy_timeout_s=30.0, camera_timeout_s=30.0)


def prediction(stamp_ns: int, sequence: int, policy: str = "a", age_s: float = 0.01) -> Prediction:
    message = Prediction(sequence=sequence, policy=policy, image_age_s=age_s, action_scale="metric")
    message.header.stamp = to_stamp(stamp_ns)
    return message


def chosen(link: PolicyLink, settled_s: float = -1e9) -> int | ReasonCode:
    """The sequence a step would be decided by, or why none is."""
    try:
        return link.choose(settled_s, Known("", 0), lambda: "").message.sequence
    except RolloutInterrupted as end:
        return end.reason


@pytest.mark.parametrize("seed", range(5))
def test_only_images_that_came_here_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = sorted(int(s) for s in rng.choice(10**12, 40, replace=False))
    link = PolicyLink(LIMITS)
    newest = 0
    for number, stamp_ns in enumerate(stamps, 1):
        seen = bool(rng.random() < 0.6)
        late = bool(rng.random() < 0.3)
        if seen and not late:
            link.take_frame(stamp_ns)
        link.take_prediction(prediction(stamp_ns, number))
        if seen and late:
            # The prediction overtook its image: it waits for it.
            link.take_frame(stamp_ns)
        newest = number if seen else newest
        assert (chosen(link) if newest else newest) == newest
    assert link.conflict() is None


def test_waiting_for_its_image_makes_a_prediction_no_younger() -> None:
    """The image's own way here may be long: packets of it are lost and sent again."""
    link = PolicyLink(LIMITS)
    link.take_prediction(prediction(5, 1, age_s=0.0))
    settled_s = time.monotonic()
    link.take_frame(5)
    assert isinstance(chosen(link, settled_s), ReasonCode)
    link.take_frame(6)
    link.take_prediction(prediction(6, 2, age_s=0.0))
    assert chosen(link, settled_s) == 2


@pytest.mark.parametrize(
    ("stamp_ns", "allowed"),
    [
        (10**12 - 500_000_000, False),
        (10**12, False),
        (10**12 + 1, True),
        (10**12 - 3600 * 10**9, True),  # the clock was set back
    ],
)
def test_an_image_of_before_the_motions_end_is_not_used_however_late_it_comes(
    stamp_ns: int, allowed: bool
) -> None:
    link = PolicyLink(LIMITS)
    known = Known("", 0, settled_ns=10**12)
    settled_s = time.monotonic()
    for number in (1, 2):
        link.take_frame(stamp_ns + number - 2)
    # The policy's clock is behind: by its stamp the image seems to have been captured just now.
    link.take_prediction(prediction(stamp_ns, 1, age_s=0.0))
    if allowed:
        assert link.choose(settled_s, known, lambda: "").message.sequence == 1
        return
    with pytest.raises(RolloutInterrupted):
        link.choose(settled_s, known, lambda: "")
    assert "an image of before" in known.unaware(prediction(stamp_ns, 1))


def test_a_driven_step_waits_for_an_image_of_after_the_motion() -> None:
    limits = PolicyLimits(prediction_timeout_s=0.2, policy_timeout_s=30.0, camera_timeout_s=0.2)
    link = PolicyLink(limits)
    known = Known("s", 1, settled_ns=100)
    for stamp_ns in (98, 99):
        link.take_frame(stamp_ns)
    with pytest.raises(RolloutInterrupted):
        link.newest_frame(-1e9, known, lambda: "")
    for stamp_ns in (101, 102):
        link.take_frame(stamp_ns)
    assert link.newest_frame(-1e9, known, lambda: "")[0] == 102


@pytest.mark.parametrize("age_s", [float("nan"), float("inf"), -float("inf")])
def test_an_age_that_is_no_number_is_not_a_fresh_image(age_s: float) -> None:
    link = PolicyLink(LIMITS)
    link.take_frame(5)
    link.take_prediction(prediction(5, 1, age_s=age_s))
    assert chosen(link) is ReasonCode.INVALID_INPUT


def test_another_policys_word_ends_a_rollout_and_passes_between_two() -> None:
    link = PolicyLink(LIMITS)
    for number in range(1, 4):
        link.take_frame(number)
    link.take_prediction(prediction(1, 1, "a"))
    link.take_prediction(prediction(2, 2, "b"))  # another artefact was loaded
    assert link.conflict() is None
    link.begin()
    link.take_prediction(prediction(3, 3, "a"))
    conflict = link.conflict()
    assert conflict is not None and conflict[0] is ReasonCode.DUPLICATE_NODE
    assert "'a'" in conflict[1] and "'b'" in conflict[1]
    assert chosen(link, settled_s=time.monotonic()) is ReasonCode.DUPLICATE_NODE


@pytest.mark.parametrize("seed", range(5))
def test_two_that_count_apart_contradict_each_other(seed: int) -> None:
    """However far apart they count, one of them is behind with a newer image."""
    rng = np.random.default_rng(seed)
    first, second = (int(n) for n in rng.integers(1, 10**6, 2) * 3)
    link = PolicyLink(LIMITS)
    link.begin()
    for i in range(4):
        for offset, sequence in ((0, first), (1, second)):
            stamp_ns = 100 * i + 10 * offset + 1
            link.take_frame(stamp_ns)
            link.take_prediction(prediction(stamp_ns, sequence + i))
    conflict = link.conflict()
    assert conflict is not None and "two nodes publish it" in conflict[1]


def test_what_a_relay_repeats_and_reorders_is_no_second_policy() -> None:
    rng = np.random.default_rng(1)
    link = PolicyLink(LIMITS)
    link.begin()
    sent = [prediction(1000 * n, n) for n in range(1, 60)]
    for message in sent:
        link.take_frame(message.header.stamp.nanosec)
    arriving = sent + [sent[i] for i in rng.integers(0, 59, 30)]
    order = np.argsort(
        [m.sequence + rng.uniform(0, 6) for m in arriving]  # delayed by up to six
    )
    newest = 0
    for i in order:
        link.take_prediction(arriving[i])
        newest = max(newest, int(arriving[i].sequence))
        assert chosen(link) == newest
    assert link.conflict() is None


@pytest.mark.parametrize("word", ["", "BEWITCHED", "none", "NONE "])
def test_a_reason_of_another_version_is_a_reason(word: str) -> None:
    link = PolicyLink(LIMITS)
    link.take_policy_status(PolicyStatus(reason=word, message="why ever"))
    trouble = link.not_seeing()
    assert trouble is not None and trouble[0] is ReasonCode.UNKNOWN
    assert repr(word) in trouble[1] and "why ever" in trouble[1]


@pytest.mark.parametrize("word", ["", "parsec", "METRIC", "metric "])
def test_a_unit_of_another_version_is_refused_by_both_ends(word: str) -> None:
    message = prediction(1, 1)
    message.action_scale = word
    with pytest.raises(MessageError, match="action_scale"):
        from_prediction_msg(message)
    with pytest.raises(MessageError, match="action_scale"):
        to_step_request("s", 1, message, 0.0)
