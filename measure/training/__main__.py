"""Self-supervised training beside an earlier build; writes docs/results/self_supervision.json.

    python -m measure.training [--base COMMIT] [--demos DIR] [--out docs/results]

Both builds train on the same demonstrations (recorded by the simulated expert unless given), with
the same backbone, size, batch and packages, in turns and each time in a process of its own; what is
not said is each build's default. The median of the rounds counts. Nothing is installed: the
earlier sources are taken from git and put before the installed ones. About a quarter of an hour on
two quiet cores. `--busy` measures how both fare beside one process that computes all the time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

from vinn.evaluation.results import Results
from vinn.sim.cabinets import CABINETS
from vinn.sim.recording import record_demonstrations

from measure.training.arithmetic import byol_gflop, product_gflop_s

ROOT = Path(__file__).parents[2]
ONE_RUN = Path(__file__).with_name("one_run.py")
BASE = "acb0295"
BACKBONES = {"resnet18": 128, "efficientnet-lite0": 224}
"""Each with the side of its input in pixels."""
BATCH = 32
GOAL = ">= 3"


def sources(commit: str, folder: Path) -> Path:
    """The sources of a commit, without touching any checkout.

    Raises:
        SystemExit: git does not know the commit.
    """
    folder.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "src"], capture_output=True, check=False
    )
    if archive.returncode:
        raise SystemExit(f"error: --base {commit}: {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / "src" / "vinn"


def one_run(library: Path, demos: Path, backbone: str, given: argparse.Namespace) -> dict[str, Any]:
    """What `measure/training/one_run.py` says of the library in a folder.

    Raises:
        SystemExit: it failed, or another `vinn` was imported.
    """
    command = [sys.executable, str(ONE_RUN), str(demos), "--backbone", backbone]
    command += ["--image-px", str(BACKBONES[backbone]), "--batch", str(BATCH)]
    command += ["--steps", str(given.steps)]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"error: {shlex.join(command)}: {done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not Path(found["vinn"]).is_relative_to(library):
        raise SystemExit(f"error: {found['vinn']} was measured; wanted {library}")
    return found


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """One process that computes as long as this lasts."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def compare(
    backbone: str,
    libraries: dict[str, Path],
    demos: Path,
    given: argparse.Namespace,
    results: Results,
) -> None:
    """Both builds in turns; adds the rows of one backbone."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in libraries}
    for turn in range(given.rounds):
        for name, library in libraries.items():
            with busy() if given.busy else contextlib.nullcontext():
                found = one_run(library, demos, backbone, given)
            runs[name].append(found)
            print(f"{backbone} {turn + 1}/{given.rounds} {name}: {found}", file=sys.stderr)
    what = f"byol, {backbone} at {BACKBONES[backbone]} px, batch {BATCH}"
    if given.busy:
        what += ", beside a busy process"

    def median(name: str, figure: str) -> float:
        return statistics.median(float(run[figure]) for run in runs[name])

    for name in libraries:
        threads = runs[name][0]["threads"]
        speed = median(name, "frames_per_s")
        results.add(f"{what}: {name}", round(speed, 2), f"frames/s, {threads} threads")
        peak = median(name, "peak_mib")
        results.add(f"{what}: {name}, largest memory", round(peak), "MiB")
    now, base = list(libraries)
    for figure, of, goal in (
        ("frames_per_s", "of frames/s", GOAL),
        ("frames_per_cpu_s", "of frames per second of CPU", None),
    ):
        ratio = median(now, figure) / median(base, figure)
        results.add(
            f"{what}: {now} to {base}, {of}",
            round(ratio, 2),
            "times",
            None if given.busy else goal,
        )
    if given.busy:
        return
    gflop = byol_gflop(backbone, BACKBONES[backbone], BATCH)
    results.add(f"{what}: arithmetic of the backbone", round(gflop, 2), "GFLOP per frame and step")
    for precision in ("float32", "bfloat16"):
        bound = product_gflop_s(precision, runs[now][0]["threads"]) / gflop
        results.add(
            f"{what}: that arithmetic at the rate of a {precision} product of matrices",
            round(bound, 1),
            "frames/s",
        )


def main() -> None:
    """Record, run, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default=BASE, help=f"commit to compare with [{BASE}]")
    parser.add_argument("--demos", type=Path, help="folder of demonstrations")
    parser.add_argument("--backbone", choices=BACKBONES, action="append", help="one of them alone")
    parser.add_argument("--rounds", type=int, default=3, help="of both builds in turns")
    parser.add_argument("--steps", type=int, default=8, help="timed in each run")
    parser.add_argument("--busy", action="store_true", help="beside one busy process")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    results = Results.continued(given.out, "self_supervision", "python -m measure.training")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        demos = given.demos
        if demos is None:
            demos = scratch / "demos"
            record_demonstrations(demos, list(CABINETS)[:1], 8)
        libraries = {
            "this build": ROOT / "src" / "vinn",
            given.base: sources(given.base, scratch / "base"),
        }
        for backbone in given.backbone or BACKBONES:
            compare(backbone, libraries, demos.resolve(), given, results)
            print(results.write(given.out))


if __name__ == "__main__":
    main()
