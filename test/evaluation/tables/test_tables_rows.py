"""Every row that learns goes through the tables: trained, exported, loaded, asked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blobs import write_blobs
from vinn.learning.config import SelfSupervisionConfig
from vinn.paper.methods import METHODS, PolicyForm
from vinn.paper.offline.config import TablesConfig, load_tables_config
from vinn.paper.offline.output import side_by_side, table_results
from vinn.paper.offline.tables import run_tables
from vinn.paper.workspace import Workspace
from vinn.tasks.data import TaskData, task_of_datasets

CONTROLS = ("random", "open-loop", "raw-pixels")
STEPS = 2


def blob_task(root: Path, name: str, seed: int) -> TaskData:
    return task_of_datasets(
        name,
        write_blobs(root / name / "train", 3, seed),
        write_blobs(root / name / "test", 2, seed + 1),
    )


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[TaskData]:
    root = tmp_path_factory.mktemp("tasks")
    return [blob_task(root, "first", 0), blob_task(root, "second", 10)]


def shortened(config: TablesConfig, names: tuple[str, ...], **sizes: object) -> TablesConfig:
    """The same settings with a few steps and nothing that needs a network or a GPU."""
    run = {"max_steps": STEPS, "batch_size": 4, "workers": 0, "threads": 1}
    train = {
        method: {
            **config.train.get(method, {}),
            **(sizes if method in ("byol", "simclr", "vicreg") else {}),
            "run": {**config.train.get(method, {}).get("run", {}), **run},
        }
        for method in ("byol", "simclr", "vicreg", "bc", "bc-rep", "ibc")
    }
    return config.model_copy(
        update={
            "tasks": (),
            "methods": names,
            "seeds": 1,
            "train": train,
            "curve_methods": (),
            "k_curve": (),
        }
    )


@pytest.mark.slow
def test_every_row_is_trained_and_measured(tasks: list[TaskData], tmp_path: Path) -> None:
    learned = tuple(name for name in METHODS if name not in CONTROLS)
    config = shortened(load_tables_config("reduced"), learned, projector_hidden=16, projector_out=8)
    backbone = config.backbone.model_copy(update={"image_px": 96})
    config = config.model_copy(update={"backbone": backbone})
    workspace = Workspace(tmp_path, config, tasks)
    try:
        found = run_tables(config, tasks[:1], workspace)
    finally:
        workspace.close()
    assert set(found.table["first"]) == set(learned)
    for name, (error,) in found.table["first"].items():
        assert np.isfinite(error), name
        assert error > 0, name
        if METHODS[name].form is PolicyForm.NEAREST:
            # A weighted mean of unit vectors is no longer than one.
            assert error <= 4 / 3, name
    # One encoder of all tasks learned from the frames of both, each other one from its task's.
    joint = [json.loads(p.read_text()) for p in tmp_path.glob("joint-*/encoders/*/result.json")]
    frames = {row["frames"] for row in joint}
    assert frames == {tasks[0].train.frame_count + tasks[1].train.frame_count}
    own = [json.loads(p.read_text()) for p in tmp_path.glob("first-*/encoders/*/result.json")]
    assert {row["frames"] for row in own} == {tasks[0].train.frame_count}
    assert {row["steps"] for row in own} == {STEPS}
    assert {row["method"] for row in own} == {"byol", "simclr", "vicreg"}

    # An encoder that collapsed is a result, and its row says so.
    limit = SelfSupervisionConfig().collapse_limit
    spreads = {
        path.parent.name.removesuffix("-0"): json.loads(path.read_text())["relative_spread"]
        for path in tmp_path.glob("*/encoders/*/result.json")
    }
    rows = found.details["first"]
    for name in learned:
        encoder = METHODS[name].encoder
        collapsed = encoder is not None and spreads.get(encoder.value, 1.0) < limit
        assert rows[name][0].get("collapsed", False) == collapsed, name
    flagged = {**rows, "vinn": [{**rows["vinn"][0], "collapsed": True}]}
    named = replace(found, details={"first": flagged})
    assert re.search(
        r"\| VINN \(BYOL \+ NN\) \| [\d.]+ \(collapsed\) ", side_by_side(config, named)
    )

    # A second seed that was not measured is left out when nothing may be trained.
    config = config.model_copy(update={"seeds": 2, "methods": (*learned, "random")})
    workspace = Workspace(tmp_path, config, tasks)
    try:
        partial = run_tables(config, tasks[:1], workspace, only_measured=True)
    finally:
        workspace.close()
    assert partial.table == found.table
    assert "| Random | not measured |" in side_by_side(config, partial)
    missed = table_results(config, partial, "test").missed
    assert [row.name for row in missed] == ["rows measured, over all tasks"]


@pytest.mark.slow
def test_the_papers_preset_runs(tasks: list[TaskData], tmp_path: Path) -> None:
    """ResNet-50 at 224 px with the paper's heads; from random weights, for want of a network."""
    names = ("vinn", "simclr", "vicreg", "bc", "bc-rep", "ibc")
    config = shortened(load_tables_config("paper"), names)
    assert (config.backbone.name, config.backbone.image_px) == ("resnet50", 224)
    backbone = config.backbone.model_copy(update={"weights": "random"})
    config = config.model_copy(update={"backbone": backbone})
    workspace = Workspace(tmp_path, config, tasks[:1])
    try:
        found = run_tables(config, tasks[:1], workspace)
    finally:
        workspace.close()
    assert set(found.table["first"]) == set(names)
    assert all(np.isfinite(error) for (error,) in found.table["first"].values())
