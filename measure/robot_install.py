"""How much disk a robot's Python packages take: `vinn` without extras in an environment of its own.

    python -m measure.robot_install [--results docs/results]

ROS 2 itself, which a robot has anyway, is not counted; neither is pip. Adds its rows to
performance.json.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from vinn.evaluation.results import Results

ROOT = Path(__file__).parents[1]
LIMIT_MB = 800
TOOLS = ("pip", "setuptools", "wheel")
COMMAND = "python -m measure.robot_install"


def size_mb(folder: Path) -> float:
    """Bytes of all files below a folder, in MB; linked files once."""
    files = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values()) / 1e6


def main() -> None:
    """Install, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch) / "robot"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        constraints = ROOT / "constraints.txt"
        print("installing", file=sys.stderr)
        # pip builds where the source is: in a copy, so that nothing is left behind.
        source = shutil.copytree(ROOT / "src" / "vinn", Path(scratch) / "vinn", symlinks=False)
        subprocess.run([*pip, "-c", str(constraints), str(source)], check=True)
        (packages,) = (environment / "lib").glob("python*/site-packages")
        names = sorted(path.name for path in packages.iterdir() if path.is_dir())
        total_mb = size_mb(packages) - sum(
            size_mb(packages / name) for name in names if name.split("-")[0] in TOOLS
        )
        largest = sorted(((size_mb(packages / name), name) for name in names), reverse=True)[:5]
        torch = any(name == "torch" for name in names)
    path = given.results / "performance.json"
    results = Results.read(path) if path.exists() else Results("performance", COMMAND)
    if COMMAND not in results.command:
        results.command += f" && {COMMAND}"
    what = "robot install, without ROS"
    results.add(f"{what}: on disk", round(total_mb), "MB", f"<= {LIMIT_MB}")
    results.add(f"{what}: has torch", torch, "", "== false")
    biggest = ", ".join(f"{name} {megabytes:.0f}" for megabytes, name in largest)
    results.add(f"{what}: largest", biggest, "MB")
    results.write(given.results)
    print(f"{total_mb:.0f} MB; {biggest}")


if __name__ == "__main__":
    main()
