"""`vinn eval tables` and `vinn eval offline`: errors on held-out demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vinn.cli.console import err, out, progress_bar
from vinn.demos.store import Dataset
from vinn.errors import ConfigError
from vinn.evaluation.own_process import in_own_process
from vinn.ingest.formats.common import GripperOrder, write_imported
from vinn.ingest.formats.layouts import Layout, cropped, read_layout
from vinn.paper.methods import METHODS, PolicyForm
from vinn.paper.offline.config import TablesConfig, claim_workspace, load_tables_config
from vinn.paper.offline.output import TIMES, table_results, write_outputs
from vinn.paper.offline.tables import Measurements, mean_and_deviation, run_tables
from vinn.paper.offline.workers import run_tables_by_workers
from vinn.paper.workspace import Workspace
from vinn.reading.documents import read_text
from vinn.tasks.data import TaskData, open_task, task_of_datasets
from vinn.tasks.recording import record_task
from vinn.tasks.registry import task_settings
from vinn.tasks.types import TaskSettings
from vinn.viz.output import write_text

QUICK_CHECKS = (
    ("vinn", "random"),
    ("imagenet", "random"),
    ("vinn", "open-loop"),
    ("imagenet", "open-loop"),
)

Preset = Annotated[
    str, typer.Option(help="Name of a preset (quick, reduced, paper), or a YAML file.")
]
Work = Annotated[Path, typer.Option(help="Folder of what is trained; a killed run goes on there.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of tables and figures.")]
Workers = Annotated[
    int, typer.Option(min=1, help="More than 1: measured by so many workers of Ray ('ray' extra).")
]
WorkerGpus = Annotated[
    float, typer.Option(min=0, help="GPUs of each worker, which sees no others; e.g. 0.5.")
]
RayAddress = Annotated[
    str | None, typer.Option(help="Of a running Ray cluster, e.g. 'auto'; default: this machine.")
]


def tables(
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder of tables and figures; WORK/results.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what is trained; a killed run goes on there; runs/tables/PRESET."
        ),
    ] = None,
    preset: Preset = "reduced",
    quick: Annotated[
        bool, typer.Option("--quick", help="The preset of a few minutes, with its checks.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Recorded tasks; WORK/data by default. Missing are made.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Other than the preset's.")] = None,
    only_tasks: Annotated[
        str | None, typer.Option("--tasks", help="Some of the preset's, separated by commas.")
    ] = None,
    only_methods: Annotated[
        str | None, typer.Option("--methods", help="Some of the preset's, separated by commas.")
    ] = None,
    only_measured: Annotated[
        bool,
        typer.Option("--only-measured", help="Train nothing: write what WORK holds so far."),
    ] = False,
    workers: Workers = 1,
    ray_address: RayAddress = None,
    worker_gpus: WorkerGpus = 0.0,
) -> None:
    """Table III and figures 3, 4 and 6 on all tasks; exit code 1 if a check fails."""
    preset = "quick" if quick else preset
    config = load_tables_config(preset)
    work = work or Path("runs/tables") / Path(preset).stem
    if seeds is not None:
        config = config.model_copy(update={"seeds": seeds})
    if only_tasks is not None:
        config = config.model_copy(update={"tasks": _chosen("--tasks", only_tasks, config.tasks)})
    if only_methods is not None:
        names = _chosen("--methods", only_methods, config.methods)
        config = config.with_methods(names)
    claim_workspace(work, config)
    root = (data or work / "data").resolve()  # workers see it by the same path
    for name in () if only_measured else config.tasks:
        # Simulators keep OpenGL contexts, which this process shall not hold while it trains.
        in_own_process(_record, task_settings(name, **config.record), root)
    tasks = [open_task(root, name) for name in config.tasks]
    command = "vinn eval tables --quick" if quick else f"vinn eval tables --preset {preset}"
    for option, value in (("--seeds", seeds), ("--tasks", only_tasks), ("--methods", only_methods)):
        command += f" {option} {value}" if value is not None else ""
    _run(
        config,
        tasks,
        work,
        out_dir or work / "results",
        command,
        QUICK_CHECKS if quick else (),
        only_measured,
        workers,
        ray_address,
        worker_gpus,
    )


def offline(
    train: Annotated[Path, typer.Option(help="Demonstrations to learn from.")],
    out_dir: Out,
    test: Annotated[
        Path | None, typer.Option(help="Held-out demonstrations; without it, part of --train.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of --train that is held out without --test.")
    ] = 0.2,
    name: Annotated[str, typer.Option(help="Of the task, for the table.")] = "demonstrations",
    methods: Annotated[
        str | None, typer.Option(help="Rows, separated by commas; the preset's by default.")
    ] = None,
    work: Work = Path("runs/offline"),
    preset: Preset = "reduced",
    layout: Annotated[
        Layout | None,
        typer.Option("--format", help="Of --train and --test, if not the project's own."),
    ] = None,
    gripper_order: Annotated[
        GripperOrder | None, typer.Option(help="With --format: which end of its gripper is open.")
    ] = None,
    crop: Annotated[
        str | None, typer.Option(help="With --format: LEFT,TOP,RIGHT,BOTTOM of the frames [px].")
    ] = None,
    workers: Workers = 1,
    ray_address: RayAddress = None,
    worker_gpus: WorkerGpus = 0.0,
) -> None:
    """Table III's row for any demonstrations: the project's format, or the original layouts."""
    config = load_tables_config(preset)
    if methods is not None:
        config = config.with_methods(_chosen("--methods", methods, METHODS))
    claim_workspace(work, config)
    if layout is not None:
        train = _imported(layout, train, work / "imported" / "train", gripper_order, crop)
        if test is not None:
            test = _imported(layout, test, work / "imported" / "test", gripper_order, crop)
    dataset = Dataset.open(train.resolve())  # workers see it by the same path
    if test is not None:
        task = task_of_datasets(name, dataset, Dataset.open(test.resolve()))
    else:
        if not 0 < held_out < 1:
            raise ConfigError(f"--held-out: {held_out}; allowed: between 0 and 1")
        parts = dataset.split({"train": 1 - held_out, "test": held_out}, seed=0)
        task = task_of_datasets(name, parts["train"], parts["test"])
    _run(
        config,
        [task],
        work,
        out_dir,
        "vinn eval offline",
        (),
        workers=workers,
        ray_address=ray_address,
        worker_gpus=worker_gpus,
    )


def _imported(
    layout: Layout, source: Path, target: Path, order: GripperOrder | None, crop: str | None
) -> Path:
    """Bring runs of an original layout into the workspace, unless an earlier call did.

    Raises:
        ConfigError: a bad crop, or the workspace holds what was imported differently.
        DatasetError: malformed runs; nothing is left behind.
    """
    note = target.with_name(f"{target.name}.source")
    asked = f"{layout.value} {order.value if order else '-'} {crop or '-'} {source.resolve()}"
    if target.exists():
        found = read_text(note, ConfigError) if note.exists() else "something else"
        if found != asked:
            raise ConfigError(
                f"{target}: imported from {found}, wanted {asked}; use another --work"
            )
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    runs = read_layout(layout, source, order)
    if crop is not None:
        runs = cropped(runs, _box(crop))
    total = sum(1 for _ in source.glob("**/labels.json"))
    with progress_bar(f"importing {source.name}") as progress:
        write_text(note, asked)
        write_imported(runs, target, lambda n: progress(n, total))
    return target


def _box(text: str) -> tuple[int, int, int, int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 4 and all(part.isdecimal() for part in parts):
        left, top, right, bottom = (int(part) for part in parts)
        if left < right and top < bottom:
            return left, top, right, bottom
    raise ConfigError(f"--crop '{text}'; allowed: LEFT,TOP,RIGHT,BOTTOM in px, e.g. 410,0,1600,697")


def _chosen(option: str, names: str, known: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(word.strip() for word in names.split(",")))
    for name in chosen:
        if name not in known:
            raise ConfigError(f"{option}: '{name}' is unknown; allowed: {', '.join(known)}")
    return chosen


def _record(settings: TaskSettings, root: Path) -> None:
    with progress_bar(f"recording {settings.task}") as progress:
        record_task(settings, root, progress)


def _run(
    config: TablesConfig,
    tasks: list[TaskData],
    work: Path,
    out_dir: Path,
    command: str,
    checks: Sequence[tuple[str, str]],
    only_measured: bool = False,
    workers: int = 1,
    ray_address: str | None = None,
    worker_gpus: float = 0.0,
) -> None:
    workspace = Workspace(work, config, tasks)
    try:
        with _units() as on_unit:
            if only_measured or (workers == 1 and ray_address is None):
                found = run_tables(config, tasks, workspace, on_unit, only_measured)
            else:
                found = run_tables_by_workers(
                    config, tasks, workspace, workers, ray_address, on_unit, worker_gpus
                )
    finally:
        workspace.close()
    results = table_results(config, found, command, checks)
    # Figure 3 is of VINN where it is a row, else of the first row that has neighbours.
    shown = {}
    for data in tasks:
        rows = [n for n in found.table[data.name] if METHODS[n].form is PolicyForm.NEAREST]
        rows.sort(key=lambda name: name != "vinn")
        if rows:
            shown[data.name] = (workspace.policy(METHODS[rows[0]], data, 0), data)
    write_outputs(config, found, results, shown, out_dir)
    out.print(_table(config, found))
    out.print(f"written to {out_dir}", highlight=False, soft_wrap=True)
    for row in results.missed:
        err.print(f"missed: {row.name}: {row.value}, wanted {row.goal}", highlight=False)
    if results.missed:
        raise typer.Exit(1)


def _table(config: TablesConfig, found: Measurements) -> Table:
    table = Table("method", *found.table, title="test MSE x 10^-1")
    for name in config.methods:
        cells = []
        for errors in (methods.get(name) for methods in found.table.values()):
            if errors is None:
                cells.append("-")
                continue
            mean, deviation = mean_and_deviation(errors)
            spread = "" if deviation is None else f" ± {TIMES * deviation:.2f}"
            cells.append(f"{TIMES * mean:.2f}{spread}")
        table.add_row(METHODS[name].title, *cells)
    return table


@contextmanager
def _units() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr with the unit that is being measured."""
    columns = (
        TextColumn("measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("", total=None)

        def update(done: int, total: int, what: str) -> None:
            progress.update(bar, completed=done, total=total, description=what)

        yield update
