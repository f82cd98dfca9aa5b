"""Demonstrations ranked by how badly their neighbours agree with them."""

from __future__ import annotations

import numpy as np
import pytest
from vinn.demos.types import ActionScale
from vinn.errors import ConfigError, DatasetError
from vinn.policies.artefacts.agreement import rank_demonstrations
from vinn.policies.memory import ActionMemory

FRAMES, COUNT = 12, 6


def paths(seed: int, odd: int | None = None) -> tuple[np.ndarray, ActionMemory]:
    """Demonstrations along one path; the odd one does the opposite of what the others do."""
    rng = np.random.default_rng(seed)
    places = np.tile(np.linspace(0, 1, FRAMES), COUNT)
    embeddings = np.column_stack([np.cos(places), np.sin(places), places])
    embeddings = embeddings + rng.normal(0, 0.005, embeddings.shape)
    delta = np.column_stack([np.cos(3 * places), np.sin(3 * places), 0 * places]) * 0.02
    ids = np.repeat(np.arange(COUNT), FRAMES)
    if odd is not None:
        delta[ids == odd] *= -1
    memory = ActionMemory(
        camera_delta=delta.astype(np.float32),
        gripper=(places > 0.7).astype(np.int8) * 3,
        demonstration_ids=ids,
        frames=np.tile(np.arange(FRAMES), COUNT).astype(np.int32),
        names=tuple(f"d{i}" for i in range(COUNT)),
        action_scale=ActionScale.METRIC,
    )
    return embeddings.astype(np.float32), memory


@pytest.mark.parametrize("odd", range(COUNT))
def test_the_one_that_does_otherwise_comes_first(odd: int) -> None:
    found = rank_demonstrations(*paths(odd, odd), k=5)
    assert found[0].name == f"d{odd}"
    assert found[0].disagreement > 3 * found[1].disagreement
    assert {each.name for each in found} == {f"d{i}" for i in range(COUNT)}
    assert all(each.frames == FRAMES for each in found)


def test_agreeing_ones_agree_and_a_lonely_place_is_far() -> None:
    embeddings, memory = paths(1)
    assert max(each.disagreement for each in rank_demonstrations(embeddings, memory, 5)) < 0.3
    embeddings[memory.demonstration_ids == 2] += 10.0
    far = {each.name: each.distance for each in rank_demonstrations(embeddings, memory, 5)}
    assert far.pop("d2") > 10 * max(far.values())


def test_the_worst_frame_is_named() -> None:
    embeddings, memory = paths(3)
    memory.camera_delta[4 * FRAMES + 7] *= -5
    found = rank_demonstrations(embeddings, memory, 5)[0]
    assert (found.name, found.worst_frame) == ("d4", 7)


@pytest.mark.parametrize("k", [0, -1, FRAMES * (COUNT - 1) + 1])
def test_impossible_numbers_of_neighbours_are_refused(k: int) -> None:
    with pytest.raises(ConfigError, match=f"k = {k}"):
        rank_demonstrations(*paths(0), k=k)


def test_one_demonstration_has_no_neighbours() -> None:
    embeddings, memory = paths(0)
    alone = memory.demonstration_ids == 0
    single = ActionMemory(
        camera_delta=memory.camera_delta[alone],
        gripper=memory.gripper[alone],
        demonstration_ids=memory.demonstration_ids[alone],
        frames=memory.frames[alone],
        names=memory.names[:1],
        action_scale=ActionScale.METRIC,
    )
    with pytest.raises((DatasetError, ConfigError)):
        rank_demonstrations(embeddings[alone], single, 1)
