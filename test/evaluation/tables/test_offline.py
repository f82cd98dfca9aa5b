from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from blobs import write_blobs
from vinn.cli.main import run
from vinn.demos.store import Dataset
from vinn.demos.types import ActionScale
from vinn.errors import ArtefactMismatchError, ConfigError
from vinn.evaluation.offline import offline_error
from vinn.evaluation.own_process import LostProcessError, OwnProcess, in_own_process
from vinn.learning.raw_pixels import export_raw_pixels
from vinn.paper.methods import METHODS, PAPER_TABLE3, EncoderKind
from vinn.paper.offline.config import TablesConfig, claim_workspace, load_tables_config
from vinn.paper.offline.output import figure6, side_by_side, table_results
from vinn.paper.offline.tables import mean_and_deviation, run_tables
from vinn.paper.workspace import Workspace
from vinn.policies.memory import ActionMemory
from vinn.policies.open_loop import OpenLoopPolicy
from vinn.policies.random import RandomPolicy
from vinn.tasks.data import TaskData, task_of_datasets


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    root = tmp_path_factory.mktemp("blobs")
    return task_of_datasets(
        "blobs", write_blobs(root / "train", 12, 0), write_blobs(root / "test", 4, 1)
    )


@pytest.fixture(scope="module")
def raw_pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_raw_pixels(tmp_path_factory.mktemp("raw") / "raw-pixels")


@pytest.fixture
def root(raw_pixels: Path, tmp_path: Path) -> Path:
    """A workspace in which the encoder of raw pixels is there already."""
    shutil.copytree(raw_pixels, tmp_path / "work" / "encoders" / "raw-pixels")
    return tmp_path / "work"


@pytest.fixture
def config() -> TablesConfig:
    return TablesConfig(
        caption="A test.",
        tasks=(),
        methods=("random", "open-loop", "raw-pixels"),
        seeds=2,
        ks=(1, 2, 3, 5, 100),
        curve_methods=("open-loop",),
        curve_counts=(2, 6, 1000),
    )


def test_error_is_the_mean_over_frames_and_components(blobs: TaskData) -> None:
    memory = ActionMemory.of(blobs.train)
    policy = OpenLoopPolicy(memory)
    expected = []
    for demonstration in blobs.test.demonstrations:
        for step, delta in enumerate(demonstration.camera_delta):
            mean = memory.camera_delta[memory.frames == step].mean(axis=0)
            expected.append(((mean - delta) ** 2).mean())
    error = offline_error(policy, blobs.test)
    assert error.mse == pytest.approx(np.mean(expected), rel=1e-5)
    assert error.frames == 16
    assert error.gripper_accuracy == 1.0  # the state follows from the step


def test_random_unit_actions_err_by_two_thirds(blobs: TaskData) -> None:
    many = [
        offline_error(RandomPolicy(ActionMemory.of(blobs.train), seed), blobs.test).mse
        for seed in range(40)
    ]
    assert np.mean(many) == pytest.approx(2 / 3, abs=0.05)


def test_other_action_scales_are_refused(blobs: TaskData) -> None:
    metric = Dataset.open(blobs.test.root)
    assert metric.action_scale is ActionScale.METRIC
    with pytest.raises(ArtefactMismatchError, match=r"unit.*metric"):
        offline_error(OpenLoopPolicy(ActionMemory.of(blobs.train)), metric)


def test_a_table_is_measured_kept_and_rendered(
    blobs: TaskData, config: TablesConfig, root: Path
) -> None:
    workspace = Workspace(root, config, [blobs])
    seen: list[str] = []
    try:
        found = run_tables(config, [blobs], workspace, lambda i, n, what: seen.append(what))
        table = found.table["blobs"]
        assert [len(table[name]) for name in config.methods] == [2, 1, 1]
        # What is plain to see is retrieved; what is not there at time t is not.
        assert table["raw-pixels"][0] < 0.5 * table["open-loop"][0]
        assert table["open-loop"][0] < np.mean(table["random"])
        assert found.details["blobs"]["raw-pixels"][0]["k"] in (1, 2, 3, 5)
        assert list(found.curves["blobs"]["open-loop"]) == [2, 6, 12]
        # Taken up again, nothing is measured anew.
        unit = next(root.glob("blobs-*/units/raw-pixels-0.json"))
        unit.write_text(json.dumps({**json.loads(unit.read_text()), "mse": 0.123}))
        again = run_tables(config, [blobs], workspace)
        assert again.table["blobs"]["raw-pixels"] == [0.123]
    finally:
        workspace.close()
    results = table_results(
        config, found, "test", [("raw-pixels", "open-loop"), ("random", "open-loop")]
    )
    assert [row.name.split("error of ")[-1] for row in results.missed] == ["Random over Open loop"]
    page = side_by_side(config, found)
    assert f"{10 * table['raw-pixels'][0]:.2f}" in page


def test_demonstrations_of_the_user_get_their_row_by_one_command(
    blobs: TaskData, root: Path, tmp_path: Path
) -> None:
    arguments = [
        *("eval", "offline", "--train", str(blobs.train.root), "--test", str(blobs.test.root)),
        *("--methods", "open-loop,raw-pixels", "--preset", "quick"),
        *("--work", str(root), "--out", str(tmp_path / "out")),
    ]
    assert run(arguments) == 0
    rows = json.loads((tmp_path / "out" / "table3.json").read_text())["rows"]
    assert any("Raw pixels + NN" in row["name"] for row in rows)
    assert (tmp_path / "out" / "figure3-demonstrations.jpg").stat().st_size > 1000
    assert run([*arguments[:6], "--methods", "magic", "--out", str(tmp_path / "o")]) == 2


def test_a_workspace_of_other_budgets_is_refused(config: TablesConfig, tmp_path: Path) -> None:
    claim_workspace(tmp_path, config)
    claim_workspace(tmp_path, config.model_copy(update={"seeds": 3}))
    with pytest.raises(ConfigError, match="train"):
        claim_workspace(tmp_path, config.model_copy(update={"train": {"byol": {}}}))


def test_figure_6_is_relative_to_one_neighbour(
    blobs: TaskData, config: TablesConfig, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vinn.paper.offline.tables.K_CURVE_ENCODER", EncoderKind.RAW_PIXELS)
    config = config.model_copy(update={"methods": (), "curve_methods": (), "k_curve": (1, 3, 9)})
    workspace = Workspace(root, config, [blobs])
    try:
        found = run_tables(config, [blobs], workspace)
    finally:
        workspace.close()
    curve = found.k_curves["blobs"]
    assert curve["k"] == [1, 3, 9]
    assert min(curve["train_mse"]) > 0
    assert figure6(found).startswith("<svg")


@pytest.mark.parametrize("name", ["quick", "reduced", "paper"])
def test_every_preset_is_valid(name: str, tmp_path: Path) -> None:
    config = load_tables_config(name)
    workspace = Workspace(tmp_path, config, [])
    for method in METHODS.values():
        if method.form.value in ("bc", "bc-rep", "ibc"):
            workspace.cloning(method, None if method.form.value == "bc" else tmp_path, 0)
    assert config.caption


def test_unknown_presets_and_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quick"):
        load_tables_config("fast")
    file = tmp_path / "a.yaml"
    file.write_text("caption: x\nmethods: [vinn, magic]\n")
    with pytest.raises(ConfigError, match="magic"):
        load_tables_config(str(file))


def test_the_papers_figures_belong_to_known_rows() -> None:
    for row in PAPER_TABLE3.values():
        assert set(row) <= set(METHODS)
        assert row["random"] > 6


def test_mean_and_deviation() -> None:
    assert mean_and_deviation([1.0]) == (1.0, None)
    mean, deviation = mean_and_deviation([1.0, 2.0, 3.0])
    assert (mean, deviation) == (2.0, 1.0)


def _die() -> None:
    import os

    os._exit(3)


def _refuse() -> None:
    raise ConfigError("no")


def test_errors_and_deaths_in_the_other_process_are_reported() -> None:
    with pytest.raises(ConfigError, match="no"):
        in_own_process(_refuse)
    process = OwnProcess()
    try:
        with pytest.raises(LostProcessError, match="_die"):
            process.call(_die)
        assert process.call(len, [1, 2]) == 2
    finally:
        process.close()
