"""Closed-loop trials by workers: the same trials, each once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from blobs import write_blobs
from vinn.errors import ConfigError
from vinn.paper.closed_loop.config import (
    PRESETS_DIR,
    ClosedLoopConfig,
    load_closed_loop_config,
)
from vinn.paper.closed_loop.run import cells, read_outcomes, run_closed_loop
from vinn.paper.closed_loop.workers import pieces, run_closed_loop_by_workers
from vinn.paper.offline.config import load_tables_config
from vinn.paper.workspace import Workspace
from vinn.tasks.data import TaskData, task_of_datasets

CONFIG = ClosedLoopConfig(methods=("random", "open-loop"), trials=1, training="quick")


@pytest.fixture
def task(tmp_path: Path) -> TaskData:
    return task_of_datasets(
        "door", write_blobs(tmp_path / "train", 4, 0), write_blobs(tmp_path / "test", 2, 1)
    )


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS_DIR.glob("*.yaml")))
def test_pieces_are_the_whole_and_none_is_there_twice(preset: str) -> None:
    config = load_closed_loop_config(preset)
    found = Counter(cell for piece in pieces(config) for cell in cells(piece))
    assert found == Counter(cells(config))
    assert set(found.values()) == {1}


@pytest.mark.slow
def test_workers_do_the_trials_of_one_process(task: TaskData, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the 'ray' extra")
    budgets = load_tables_config(CONFIG.training)
    alone, together = (Workspace(tmp_path / name, budgets, [task]) for name in ("one", "many"))
    run_closed_loop(CONFIG, task, alone)
    told: list[tuple[int, int, str]] = []
    run_closed_loop_by_workers(
        CONFIG, task, together, workers=2, on_trial=lambda *news: told.append(news)
    )
    expected = read_outcomes(CONFIG, task, alone)
    assert expected and read_outcomes(CONFIG, task, together) == expected
    assert told[-1][:2] == (6, 6)
    told.clear()
    # Nothing is missing: nobody is started.
    run_closed_loop_by_workers(
        CONFIG, task, together, workers=2, on_trial=lambda *news: told.append(news)
    )
    assert told[-1] == (6, 6, "0 pieces")


def test_bad_numbers_of_workers_are_refused(task: TaskData, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work", load_tables_config("quick"), [task])
    with pytest.raises(ConfigError, match="workers: 0"):
        run_closed_loop_by_workers(CONFIG, task, workspace, workers=0)
