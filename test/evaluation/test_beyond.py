"""Beyond the paper: rows, errors on left-out cabinets, and what the results say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import square_image, write_tiny_encoder
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import CameraInfo, DemonstrationMeta
from vinn.errors import ConfigError
from vinn.paper.ablations import run as beyond
from vinn.paper.ablations.output import beyond_results
from vinn.paper.ablations.run import PRESETS_DIR, left_out_errors, load_beyond_config, offline_unit
from vinn.paper.closed_loop.run import cells, trials_path
from vinn.paper.methods import ALL_METHODS, BEYOND, METHODS, Method
from vinn.paper.offline.config import TablesConfig
from vinn.paper.preset_rows import row_preset
from vinn.paper.workspace import Workspace
from vinn.policies.artefacts.embedding import EmbeddedDataset
from vinn.policies.augmentation import MIRRORED, ORIGINAL
from vinn.policies.features import MetricKind
from vinn.tasks.data import TaskData, task_of_datasets

STEPS = 6


def write_demos(root: Path, first: int, count: int) -> Dataset:
    """A square is approached; on cabinet `right` it lies right of the middle, on `left` left."""
    camera = CameraInfo(name="wrist", width_px=64, height_px=48)
    for index in range(first, first + count):
        cabinet = ("left", "right")[index % 2]
        rng = np.random.default_rng(index)
        x, y = 0.15 + 0.15 * rng.random(), rng.random()
        path = np.linspace((x, y), (0.5, 0.5), STEPS)
        if cabinet == "right":
            path[:, 0] = 1 - path[:, 0]
        delta = np.zeros((STEPS, 3))
        delta[:-1, :2] = np.diff(path, axis=0)
        meta = DemonstrationMeta(
            name=f"demo_{index:02d}",
            task="squares",
            camera=camera,
            provenance={"cabinet": cabinet},
        )
        images = [square_image(x, y) for x, y in path]
        write_demonstration(root, meta, images, delta, [0] * (STEPS - 1) + [3])
    return Dataset.open(root)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    root = tmp_path_factory.mktemp("squares")
    return task_of_datasets(
        "squares", write_demos(root / "train", 0, 12), write_demos(root / "test", 100, 2)
    )


@pytest.fixture
def workspace(task: TaskData, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work", TablesConfig(caption="tiny"), [task])
    write_tiny_encoder(workspace.root / "encoders" / "imagenet")
    return workspace


def test_each_row_is_the_preset_with_its_changes() -> None:
    assert not set(METHODS) & set(BEYOND)
    plus = row_preset(BEYOND["vinn-plus"])
    assert plus.views == (ORIGINAL, MIRRORED)
    assert plus.local is not None
    assert row_preset(BEYOND["one-mirrored"]) == plus.model_copy(update={"local": None})
    assert row_preset(BEYOND["plus-nca"]).metric is MetricKind.NCA
    alone = row_preset(BEYOND["one-select"])
    assert alone.select
    assert alone.views == (ORIGINAL,)
    assert alone.local is None
    with pytest.raises(ConfigError, match="vinn: has no preset"):
        row_preset(METHODS["vinn"])


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS_DIR.glob("*.yaml")))
def test_presets_name_rows_that_exist(name: str) -> None:
    config = load_beyond_config(name)
    for cell in [*cells(config.main), *cells(config.switches)]:
        assert cell.method in ALL_METHODS
    assert set(config.offline) <= set(BEYOND)
    # The switches are compared with the main rows over the same trials.
    if config.switches.general_methods:
        assert config.switches.seed == config.main.seed
        assert set(config.switches.sampled) <= set(config.main.sampled)


def test_mirroring_helps_on_the_cabinet_of_the_other_side(
    workspace: Workspace, task: TaskData
) -> None:
    plain = left_out_errors(workspace, BEYOND["one-select"], task)
    mirrored = left_out_errors(workspace, BEYOND["one-mirrored"], task)
    assert set(plain) == {"left", "right"}
    for cabinet in plain:
        assert mirrored[cabinet].translation < 0.5 * plain[cabinet].translation


def test_left_out_cabinets_are_never_neighbours(
    workspace: Workspace, task: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    original = beyond._error

    def spy(policy, embeddings, memory, rows):  # type: ignore[no-untyped-def]
        def cabinets(memory, rows):  # type: ignore[no-untyped-def]
            names = [memory.names[i].split("~")[0] for i in memory.demonstration_ids[rows]]
            return {("left", "right")[int(name[-2:]) % 2] for name in names}

        known = cabinets(policy.memory, np.arange(len(policy.memory)))
        seen.append((cabinets(memory, rows), known))
        return original(policy, embeddings, memory, rows)

    monkeypatch.setattr(beyond, "_error", spy)
    left_out_errors(workspace, BEYOND["one-mirrored"], task)
    assert seen == [({"left"}, {"right"}), ({"right"}, {"left"})]


@pytest.mark.parametrize("name", ["one-nca", "one-context", "one-progress", "one-light"])
def test_every_switch_can_be_measured_and_is_measured_once(
    workspace: Workspace, task: TaskData, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = offline_unit(workspace, BEYOND[name], task)
    assert found is not None
    assert all(np.isfinite(list(found["translation"].values())))

    def never(*_: object) -> dict[str, object]:
        raise AssertionError("measured twice")

    monkeypatch.setattr(beyond, "left_out_errors", never)
    assert offline_unit(workspace, BEYOND[name], task) == found


def test_row_of_a_preset_is_built_and_its_views_are_embedded_once(
    workspace: Workspace, task: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vinn.paper import preset_rows

    embedded: list[str] = []
    original = preset_rows.embed_dataset

    def counting(*arguments: object, views: tuple[str, ...]) -> EmbeddedDataset:
        embedded.extend(views)
        return original(*arguments, views=views)  # type: ignore[arg-type]

    monkeypatch.setattr(preset_rows, "embed_dataset", counting)
    for name in ("one-mirrored", "one-select"):
        method: Method = BEYOND[name]
        folder = workspace.policy(method, task, 0)
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["provenance"]["method"] == name
        assert "selection" in manifest["provenance"]
    assert sorted(embedded) == [MIRRORED, ORIGINAL]


def test_results_pair_the_same_trials_and_test_the_goals(
    workspace: Workspace, task: TaskData
) -> None:
    config = load_beyond_config("reduced")
    wins = {"vinn-plus": 0.9, "vinn": 0.3, "imagenet": 0.5, "one-local": 0.8}
    for part in (config.main, config.switches):
        for cell in cells(part):
            if cell.method not in wins or cell.condition not in ("left_out", "sampled"):
                continue
            path = trials_path(part, task, workspace, cell)
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = []
            for trial in range(cell.trials):
                rng = np.random.default_rng([cell.scene, trial])
                opened = bool(rng.random() < wins[cell.method])
                line = {
                    "cabinet": cell.cabinet,
                    "trial": trial,
                    "seed": 100 * cell.scene + trial,
                    "grasped": True,
                    "opened": opened,
                    "fully_opened": False,
                    "failure": "none" if opened else "slipped",
                }
                lines.append(json.dumps(line) + "\n")
            path.write_text("".join(lines))
    results = {row.name: row for row in beyond_results(config, task, workspace, "x").rows}
    goal = results["goal: VINN-plus on held-out cabinets"]
    assert goal.met
    assert "n 50" in goal.unit
    assert results["goal: lower end of VINN-plus minus VINN (BYOL + NN) on held-out cabinets"].met
    difference = results["sampled: VINN-plus minus VINN (BYOL + NN)"]
    assert difference.value > 0
    # One draw decides a trial for all methods, so nothing is won that VINN-plus loses.
    assert " 0 of 20" not in difference.unit.split("against")[0]
    assert "against 0 of 20" in difference.unit
    assert "switch, sampled: VINN + local features minus VINN-plus" in results
    assert not any(name.startswith("seen") for name in results)
    done = results["trials done"]
    assert done.value == 3 * 50 + 20
    total = sum(cell.trials for part in (config.main, config.switches) for cell in cells(part))
    assert done.unit.startswith(f"of {total};")
