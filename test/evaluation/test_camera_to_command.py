"""The way from an image to its command is divided without remainder, or the step does not count."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from measure.ros_path import COMMAND_WITHIN_S, shares, stamp_to_wire

MS = 1_000_000
LATENCY_S = {"preprocess": 0.0005, "encode": 0.006, "retrieve": 0.0007}


def rollout(*steps: tuple[int, int, int, int], unseen: tuple[int, ...] = ()) -> Any:
    """Steps (image stamped, arrived, prediction published, step taken on) in ms."""
    pairs = [
        (
            SimpleNamespace(stamp_ns=taken * MS),
            SimpleNamespace(
                stamp_ns=stamped * MS,
                image_age_s=(published - stamped) / 1e3,
                prediction=SimpleNamespace(latency_s=LATENCY_S),
            ),
        )
        for stamped, _, published, taken in steps
    ]
    wrist = [
        SimpleNamespace(stamp_ns=stamped * MS, recorded_ns=arrived * MS)
        for stamped, arrived, _, _ in steps
        if stamped not in unseen
    ]
    return SimpleNamespace(wrist=wrist, steps_with_predictions=lambda: iter(pairs))


def test_the_parts_make_up_the_whole_way() -> None:
    steps = [(1000, 1010, 1019, 1024), (1500, 1512, 1520, 1523)]
    commands = [1527 * MS, 1027 * MS, 1300 * MS]
    parts = shares([rollout(*steps)], commands)
    whole = stamp_to_wire([rollout(*steps)], commands)
    np.testing.assert_allclose(sum(parts.values()), whole, atol=1e-12)
    np.testing.assert_allclose(whole, [0.027, 0.027], atol=1e-12)
    np.testing.assert_allclose(
        parts["rendered, compressed, carried to another process"], [0.010, 0.012]
    )
    np.testing.assert_allclose(parts["encoded"], LATENCY_S["encode"])
    rest = [9e-3 - sum(LATENCY_S.values()), 8e-3 - sum(LATENCY_S.values())]
    np.testing.assert_allclose(parts["the policy node's rest"], rest, atol=1e-12)
    np.testing.assert_allclose(parts["prediction to step taken on"], [0.005, 0.003], atol=1e-12)
    np.testing.assert_allclose(
        parts["step taken on to command on the wire"], [0.003, 0.004], atol=1e-12
    )


@pytest.mark.parametrize(
    ("commands", "unseen"),
    [
        ([1027 * MS], (1000,)),  # the image never reached the recorder
        ([1020 * MS], ()),  # no command after the step
        ([(1024 + int(1e3 * COMMAND_WITHIN_S)) * MS], ()),  # one that is another step's
        ([], ()),
    ],
)
def test_a_step_that_cannot_be_followed_does_not_count(
    commands: list[int], unseen: tuple[int, ...]
) -> None:
    assert not shares([rollout((1000, 1010, 1019, 1024), unseen=unseen)], commands)
