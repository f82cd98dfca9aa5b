"""Let outside programs read what this project writes, each in an environment of its own.

    .venv/bin/python -m measure.outside            # all of them
    .venv/bin/python -m measure.outside duckdb     # one

Makes generated inputs with the project (`measure/outside/inputs.py`), installs each program in its
pinned version in a temporary folder, runs its reader there, which imports nothing of the project,
and puts a row into docs/results/interoperability.*. Needs the package index (and npm for one).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from measure.interoperability import FILE, Run, added, read, write

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Outside:
    """A program, in the version it is run in."""

    package: str
    version: str
    reader: str
    """Script in this folder, run with the inputs' folder."""
    done: str
    besides: Mapping[str, str] = field(default_factory=dict)
    """Packages it needs for that, pinned as well."""


OUTSIDE = (
    Outside(
        "mcap",
        "1.6.0",
        "read_mcap.py",
        "decode a rollout's recording by the definitions in it",
        {"mcap-ros2-support": "0.6.0"},
    ),
    Outside("rosbags", "0.11.9", "read_rosbags.py", "read exported rosbag2 directories"),
    Outside(
        "pandas", "3.1.1", "read_pandas.py", "read demonstrations' tables", {"pyarrow": "26.0.1"}
    ),
    Outside("duckdb", "2.0.1", "read_duckdb.py", "query all demonstrations' tables at once"),
    Outside("polars", "2.1.0", "read_polars.py", "read demonstrations' and a policy's tables"),
    Outside("datasets", "5.2.0", "read_datasets.py", "load an exported LeRobot set"),
    Outside(
        "imageio-ffmpeg", "0.8.1", "read_ffmpeg.py", "decode a video (ffmpeg)", {"numpy": "2.2.6"}
    ),
    Outside(
        "opencv-python-headless", "5.0.0.93", "read_opencv.py", "read a video and stored frames"
    ),
    Outside("openvino", "2026.4.1", "read_openvino.py", "run an encoder artefact"),
    Outside("rerun-sdk", "0.41.0", "read_rerun.py", "verify what vinn report --rerun writes"),
    Outside("colcon-common-extensions", "0.3.0", "read_colcon.py", "list the packages to build"),
)


def run(outside: Outside, inputs: Path, folder: Path) -> str:
    """Install and run one; what it says, or "fails: " and why."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pins = {outside.package: outside.version, **outside.besides}
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *(f"{name}=={pin}" for name, pin in pins.items())], check=True)
    script = HERE / outside.reader
    done = subprocess.run(
        [str(python), str(script), str(inputs)], capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("works")]
    if done.returncode == 0 and lines:
        return lines[-1]
    return f"fails: {(done.stderr or done.stdout).strip().splitlines()[-1]}"


def run_mcap_core(inputs: Path) -> Run:
    """The reader of Foxglove, for which there is a script of its own."""
    script = ROOT / "tools" / "check_index_with_mcap_core.sh"
    done = subprocess.run(
        ["bash", str(script), str(inputs / "recording.mcap")],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()
    result = f"{'works' if done.returncode == 0 else 'fails'}: {said}"
    return row("@mcap/core (npm)", "2.2.2", "read a rollout's recording by its index", result)


def row(tool: str, version: str, done: str, result: str) -> Run:
    """A row of today."""
    command = "python -m measure.outside"
    return Run(tool, version, done, result, command, date.today().isoformat())


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for; exit code 1: something does not work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*(outside.package for outside in OUTSIDE), "@mcap/core"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args(arguments).names or known
    for name in names:
        if name not in known:
            parser.error(f"{name!r}; allowed: {', '.join(known)}")
    rows = []
    with tempfile.TemporaryDirectory() as work:
        inputs = Path(work, "inputs")
        subprocess.run([sys.executable, str(HERE / "inputs.py"), str(inputs)], check=True)
        for outside in OUTSIDE:
            if outside.package in names:
                folder = Path(work, "environment")
                result = run(outside, inputs, folder)
                rows.append(row(outside.package, outside.version, outside.done, result))
                shutil.rmtree(folder)
        if "@mcap/core" in names:
            rows.append(run_mcap_core(inputs))
    runs = read(ROOT / FILE)
    for new in rows:
        print(f"{new.tool} {new.version}: {new.done}: {new.result}")
        runs = added(runs, new)
    write(ROOT / FILE, runs)
    if any(not new.result.startswith("works") for new in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
