"""What a release is made of: one version everywhere, wheels that install and run alone."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

import vinn

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
PACKAGES = ("vinn_msgs", "vinn", "vinn_ros")


def test_one_version_everywhere() -> None:
    found = {"vinn.__version__": vinn.__version__}
    for package in PACKAGES:
        text = (SRC / package / "package.xml").read_text()
        found[f"{package}/package.xml"] = re.findall(r"<version>(.*)</version>", text)[0]
    for package in ("vinn", "vinn_ros"):
        config = configparser.ConfigParser()
        config.read(SRC / package / "setup.cfg")
        found[f"{package}/setup.cfg"] = config["metadata"]["version"]
    found["CITATION.cff"] = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    newest = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    found["CHANGELOG.md"] = newest
    assert set(found.values()) == {vinn.__version__}, found


@pytest.mark.slow
def test_wheels_install_in_a_clean_environment_and_run(tmp_path: Path) -> None:
    # A copy: what a build leaves behind in the source would get into the next one.
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    for folder in ("src", "config", "launch"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=leave)
    wheels = tmp_path / "wheels"
    for package in PACKAGES:
        _run(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", wheels, tmp_path / "src" / package),
        )
    built = sorted(path.name.partition("-")[0] for path in wheels.glob("*.whl"))
    assert built == sorted(PACKAGES)
    # Whatever is required comes from the environment of the tests; the packages do not.
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False)
    python = clean / "bin" / "python"
    site = next((clean / "lib").glob("python3.*/site-packages"))
    _run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"),
        *("--no-index", *wheels.glob("*.whl")),
    )
    ours = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    (site / "zz_tests.pth").write_text("".join(f"{path}\n" for path in ours))
    where = (
        "import vinn, vinn_ros, vinn_msgs.msg; "
        "print(vinn.__file__, vinn_ros.__file__, vinn_msgs.msg.__file__)"
    )
    for file in _run(python, "-c", where, cwd=tmp_path).split():
        assert file.startswith(str(site)), file
    assert _run(python, clean / "bin" / "vinn", "--version", cwd=tmp_path).split() == [
        "vinn",
        vinn.__version__,
    ]
    assert "--policy" in _run(python, clean / "bin" / "vinn-bringup", "--help", cwd=tmp_path)
    shared = clean / "share" / "vinn_ros"
    assert (shared / "launch" / "door_opening.launch.py").is_file()
    presets = (
        "from vinn.policies.preset import load_preset; print(load_preset('grasp-point').views)"
    )
    _run(python, "-c", presets, cwd=tmp_path)


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=cwd,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
