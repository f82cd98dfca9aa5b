"""The offline tables by workers: the same results, and nothing trained by two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from blobs import write_blobs
from vinn.encoders.artefact import read_manifest
from vinn.errors import ArtefactError, ConfigError
from vinn.learning.config import BackboneConfig
from vinn.paper.methods import METHODS, EncoderKind
from vinn.paper.offline.config import PRESETS_DIR, TablesConfig, load_tables_config
from vinn.paper.offline.tables import Unit, all_units, run_tables
from vinn.paper.offline.workers import pieces, run_tables_by_workers
from vinn.paper.workspace import Workspace
from vinn.tasks.data import TaskData, task_of_datasets

RUN = {"max_steps": 2, "batch_size": 4, "workers": 0, "threads": 1}
HEADS = {"projector_hidden": 16, "projector_out": 8}
CONFIG = TablesConfig(
    caption="A test.",
    tasks=(),
    # Small, since what is learned does not matter: the same is.
    backbone=BackboneConfig(name="resnet18", weights="random", image_px=32),
    methods=("random", "raw-pixels", "vinn", "bc-rep", "joint"),
    seeds=2,
    train={"byol": {**HEADS, "run": RUN}, "bc-rep": {"run": RUN}},
    ks=(1, 2, 3),
    curve_methods=("open-loop", "vinn"),
    curve_counts=(2, 1000),
    k_curve=(1, 2),
)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[TaskData]:
    root = tmp_path_factory.mktemp("tasks")
    return [
        task_of_datasets(
            name,
            write_blobs(root / name / "train", 3, seed),
            write_blobs(root / name / "test", 2, seed + 1),
        )
        for name, seed in (("first", 0), ("second", 10))
    ]


def _trained_for(unit: Unit) -> set[tuple[str, ...]]:
    """The encoders that a unit has trained, from its name alone."""
    if unit.name == "k-curve":
        return {(unit.data.name, "byol", "0")}
    curve = unit.name.startswith("curve-")
    name, number = unit.name.removeprefix("curve-").rsplit("-", 1)
    if curve:
        name, number = name.rsplit("-", 1)[0], "0"
    kind = METHODS[name].encoder
    if kind in (None, EncoderKind.IMAGENET, EncoderKind.RAW_PIXELS):
        return set()
    return {("" if kind is EncoderKind.JOINT else unit.data.name, kind.value, number)}


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS_DIR.glob("*.yaml")))
def test_pieces_are_all_units_and_no_encoder_is_trained_in_two(
    preset: str, tasks: list[TaskData], tmp_path: Path
) -> None:
    config = load_tables_config(preset)
    units = {
        (u.data.name, u.name): u
        for u in all_units(config, tasks, Workspace(tmp_path, config, tasks))
    }
    found = pieces(list(units.values()))
    names = [name for piece in found for name in piece]
    assert sorted(names) == sorted(units)
    trained = [set().union(*(_trained_for(units[name]) for name in piece)) for piece in found]
    encoders = [encoder for some in trained for encoder in some]
    assert len(encoders) == len(set(encoders)) > 0
    assert len(found) > len(tasks)


@pytest.mark.slow
def test_workers_measure_what_one_process_does(tasks: list[TaskData], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the 'ray' extra")
    alone, together = (Workspace(tmp_path / name, CONFIG, tasks) for name in ("one", "many"))
    try:
        expected = run_tables(CONFIG, tasks, alone)
        told: list[tuple[int, int, str]] = []
        found = run_tables_by_workers(
            CONFIG, tasks, together, workers=2, on_unit=lambda *news: told.append(news)
        )
        assert found.table == expected.table
        assert found.curves == expected.curves
        assert found.k_curves == expected.k_curves
        assert told[-1][:2] == (len(all_units(CONFIG, tasks, alone)),) * 2
        assert [done for done, *_ in told] == sorted(done for done, *_ in told)
        told.clear()
        # Nothing is missing: nobody is started.
        again = run_tables_by_workers(
            CONFIG, tasks, together, workers=2, on_unit=lambda *news: told.append(news)
        )
        assert again.table == found.table
        assert told[0][2] == "0 pieces"
    finally:
        alone.close()
        together.close()


def test_bad_numbers_of_workers_are_refused(tasks: list[TaskData], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, CONFIG, tasks)
    with pytest.raises(ConfigError, match="workers: 0"):
        run_tables_by_workers(CONFIG, tasks, workspace, workers=0)
    with pytest.raises(ConfigError, match="GPUs of a worker: -1"):
        run_tables_by_workers(CONFIG, tasks, workspace, workers=1, gpus=-1.0)


def test_what_all_tasks_share_may_be_made_by_another_process_meanwhile(
    tasks: list[TaskData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, quick = Workspace(tmp_path, CONFIG, tasks), Workspace(tmp_path, CONFIG, tasks)
    call = late.training.call

    def overtaken(make: Callable[..., Path], *arguments: object) -> Path:
        quick.encoder(EncoderKind.RAW_PIXELS, tasks[0], 0)
        return call(make, *arguments)

    try:
        monkeypatch.setattr(late.training, "call", overtaken)
        made = late.encoder(EncoderKind.RAW_PIXELS, tasks[0], 0)
        assert read_manifest(made) == read_manifest(
            quick.encoder(EncoderKind.RAW_PIXELS, tasks[1], 0)
        )
    finally:
        late.close()
        quick.close()


def test_why_nothing_can_be_made_is_said(tasks: list[TaskData], tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, CONFIG, tasks)
    (tmp_path / "encoders").write_text("no folder")
    try:
        with pytest.raises(ArtefactError, match="encoders"):
            workspace.encoder(EncoderKind.RAW_PIXELS, tasks[0], 0)
    finally:
        workspace.close()
