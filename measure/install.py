"""What setting up takes: a fresh clone, `make setup`, and that again after a pull without changes.

    python -m measure.install [--set use|develop] [--clone DIR] [--results docs/results]

With `--clone` a clone that is set up already is looked at, and nothing says how long that took.
Downloads are the archives of what was installed (one pip that has none of them in its cache fetches
these). Adds its rows to performance.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from vinn.evaluation.results import Results

from measure.robot_install import size_mb

ROOT = Path(__file__).parents[1]
TARGETS = {"use": "setup", "develop": "develop"}
LIMITS_MB = {"use": (2000, 700)}
"""On disk, and downloads."""
SECONDS_AGAIN = 5


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall time of a command that has to go well [s]."""
    started_s = time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return time.monotonic() - started_s


def touch_all(folder: Path) -> None:
    """New times on every file that git knows, as a checkout to and fro leaves them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=folder, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.split("\0"):
        if (folder / name).is_file():
            (folder / name).touch()


def downloads_mb(clone: Path, scratch: Path, environment: dict[str, str]) -> float:
    """The archives of everything that came from an index or a folder of wheels."""
    python = str(clone / ".venv" / "bin" / "python")
    pins = subprocess.run(
        [python, "tools/freeze_constraints.py"],
        cwd=clone,
        check=True,
        capture_output=True,
        text=True,
    )
    wanted = scratch / "pins.txt"
    wanted.write_text(pins.stdout)
    archives = scratch / "archives"
    download = [python, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(archives)]
    seconds([*download, "-r", str(wanted)], clone, environment)
    return size_mb(archives)


def main() -> None:
    """Clone, set up, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=TARGETS, default="use", dest="packages")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--clone", type=Path, help="set up already by `make setup` or develop")
    given = parser.parse_args()
    target = TARGETS[given.packages]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        clone, first_s = given.clone, None
        environment = dict(os.environ)
        if clone is None:
            clone = scratch / "clone"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            environment["PIP_CACHE_DIR"] = str(scratch / "cache")
            first_s = seconds(["make", target], clone, environment)
        touch_all(clone)
        again_s = seconds(["make", target], clone, environment)
        (packages,) = (clone / ".venv" / "lib").glob("python*/site-packages")
        disk_mb = size_mb(clone / ".venv")
        largest = sorted(
            ((size_mb(path), path.name) for path in packages.iterdir() if path.is_dir()),
            reverse=True,
        )[:8]
        torch = (packages / "torch").is_dir()
        loaded_mb = downloads_mb(clone, scratch, environment)
    command = f"python -m measure.install --set {given.packages}"
    results = Results.continued(given.results, "performance", command)
    what = f"install, {given.packages}"
    disk_goal, loaded_goal = (
        f"<= {limit}" if limit else None for limit in LIMITS_MB.get(given.packages, (None, None))
    )
    results.add(f"{what}: environment", round(disk_mb), "MB", disk_goal)
    results.add(f"{what}: downloads", round(loaded_mb), "MB", loaded_goal)
    if first_s is not None:
        results.add(f"{what}: make {target} in a fresh clone", round(first_s), "s")
    results.add(
        f"{what}: make {target} again, every file with a new time",
        round(again_s, 1),
        "s",
        f"<= {SECONDS_AGAIN}",
    )
    results.add(f"{what}: has torch", torch, "", "== false" if given.packages == "use" else None)
    biggest = ", ".join(f"{name} {megabytes:.0f}" for megabytes, name in largest)
    results.add(f"{what}: largest", biggest, "MB")
    results.write(given.results)
    print(f"{disk_mb:.0f} MB, {loaded_mb:.0f} MB of downloads; {biggest}")


if __name__ == "__main__":
    main()
