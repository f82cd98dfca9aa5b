"""`vinn eval`: how well a policy does."""

from __future__ import annotations

from collections.abc import Callable

import typer

from vinn.cli.eval import learning_curve as eval_learning_curve
from vinn.cli.eval import report as eval_report
from vinn.cli.eval import tables as eval_tables

app = typer.Typer(no_args_is_help=True)


def _raising(missing: ModuleNotFoundError) -> Callable[[], None]:
    def command() -> None:
        raise missing

    return command


app.command("tables")(eval_tables.tables)
app.command("offline")(eval_tables.offline)
app.command("report")(eval_report.report)
app.command("learning-curve")(eval_learning_curve.learning_curve)
try:
    from vinn.cli.eval.ablations import beyond
    from vinn.cli.eval.closed_loop import closed_loop
    from vinn.cli.eval.closed_loop_tables import closed_loop_tables
    from vinn.cli.eval.grasp_point import grasp_point
    from vinn.cli.eval.tasks import tasks
except ModuleNotFoundError as missing:
    # The offline commands need no simulator; asked for these ones, `vinn` names the extra.
    for name in ("closed-loop", "closed-loop-tables", "beyond", "grasp-point", "tasks"):
        app.command(
            name,
            help="Trials in simulation (needs the 'sim' extra).",
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )(_raising(missing))
else:
    app.command("closed-loop")(closed_loop)
    app.command("closed-loop-tables")(closed_loop_tables)
    app.command("beyond")(beyond)
    app.command("grasp-point")(grasp_point)
    app.command("tasks")(tasks)
