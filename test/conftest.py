"""Fixtures that several areas share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import shared_folders  # noqa: F401
from hypothesis import settings

pytest_plugins = ["reruns", "lanes"]

# The same examples in every run: a failure is the change's, not the day's.
settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def scheduling_stays_as_it_was() -> Iterator[None]:
    """What one test does to this thread's priority would starve the nodes of the next ones."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    after = os.sched_getscheduler(0)
    if after != before[0]:
        os.sched_setscheduler(0, *before)
        pytest.fail(f"scheduling policy {after} was left behind; it was {before[0]}")


@pytest.fixture(scope="session")
def door_demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Expert demonstrations of one cabinet on `easy`: enough to open that door."""
    pytest.importorskip("mujoco", reason="needs the 'sim' extra")
    from vinn.sim.recording import record_demonstrations

    directory = tmp_path_factory.mktemp("door") / "demonstrations"
    record_demonstrations(directory, cabinets=("oak",), count=16, difficulty="easy", seed=0)
    return directory


@pytest.fixture(scope="session")
def lite0_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default encoder, exported."""
    from vinn.learning.export import export_encoder

    return export_encoder(
        "efficientnet-lite0", tmp_path_factory.mktemp("encoder") / "efficientnet-lite0"
    )


@pytest.fixture(scope="session")
def door_policy(
    door_demonstrations: Path, lite0_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A real policy artefact that opens the door of `door_demonstrations`."""
    from vinn.demos.store import Dataset
    from vinn.policies.build import build_policy

    dataset = Dataset.open(door_demonstrations)
    out = tmp_path_factory.mktemp("policy") / "door"
    return build_policy(dataset, lite0_encoder, out, k=5, bandwidth=0.7)


@pytest.fixture(scope="session")
def door_detector(
    door_demonstrations: Path, lite0_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A detector of grasp points for `door_policy`'s door.

    Trained in a process of its own, as wherever a simulator may run in the same one.
    """
    from vinn.demos.store import Dataset
    from vinn.evaluation.own_process import OwnProcess
    from vinn.paper.grasp.detectors import train_detector
    from vinn.robot.config import RobotConfig

    process = OwnProcess()
    try:
        out = tmp_path_factory.mktemp("detector") / "door"
        dataset = Dataset.open(door_demonstrations)
        return process.call(train_detector, dataset, lite0_encoder, out, RobotConfig(), 0)
    finally:
        process.close()
