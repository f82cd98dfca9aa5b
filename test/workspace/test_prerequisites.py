"""`make` names what the system lacks, and what installs it, before it builds anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What the check itself runs.
TOOLS = ("sh", "cat", "sort", "tr", "printf", "env", "awk", "find")


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A directory for PATH with the shell's own tools and this Python, and no compiler."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (directory / tool).symlink_to(found)
    (directory / "python3.11").symlink_to(sys._base_executable)
    return directory


def check(
    *arguments: str, path: Path | str, directory: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "check_prerequisites.sh"), *arguments],
        cwd=directory,
        env={"PATH": str(path), "HOME": os.environ.get("HOME", "/"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_says_nothing_when_all_is_there() -> None:
    result = check(sys._base_executable, path=os.environ["PATH"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_names_a_missing_compiler(bare_path: Path) -> None:
    result = check("python3.11", path=bare_path)
    assert result.returncode == 2
    assert "missing: a C++ compiler (c++): sudo apt-get install -y g++\n" in result.stderr
    assert "nothing was built" in result.stderr


@pytest.mark.parametrize(
    ("packages", "free_mib", "needed_mib"),
    [
        ((), 1024, 4096),
        (("use",), 4095, 4096),
        (("use",), 4096, None),
        (("develop",), 4096, 12288),
        (("develop",), 12287, 12288),
        (("develop",), 12288, None),
    ],
)
def test_a_full_disk_is_said_before_the_downloads(
    packages: tuple[str, ...], free_mib: int, needed_mib: int | None, tmp_path: Path
) -> None:
    """Half-way through it would be a failed write in the middle of somebody else's package."""
    commands, checkout = tmp_path / "bin", tmp_path / "checkout"
    commands.mkdir()
    checkout.mkdir()
    df = commands / "df"
    df.write_text(f"#!/bin/sh\necho names\necho /dev/a 1 1 {1024 * free_mib} 99% /\n")
    df.chmod(0o755)
    path = f"{commands}:{os.environ['PATH']}"
    asked = (sys._base_executable, *packages)
    result = check(*asked, path=path, directory=checkout)
    if needed_mib is None:
        assert (result.returncode, result.stderr) == (0, "")
        return
    assert result.returncode == 2
    assert (
        f"error: {free_mib} MiB are free on the disk of {checkout}; setting up takes "
        f"{needed_mib} MiB\n"
    ) in result.stderr
    there = ".venv" if packages != ("develop",) else ".venv/stamps/develop.0123"
    (checkout / ".venv" / "stamps").mkdir(parents=True)
    if packages == ("develop",):
        assert check(*asked, path=path, directory=checkout).returncode == 2, "only the other set"
    (checkout / there).mkdir(exist_ok=True)
    assert check(*asked, path=path, directory=checkout).returncode == 0


def test_another_set_is_refused_by_name() -> None:
    result = check(sys._base_executable, "lean", path=os.environ["PATH"])
    assert result.returncode == 2
    assert result.stderr == "error: lean: no set of packages; allowed: use, develop\n"


def test_names_every_missing_thing_at_once(bare_path: Path) -> None:
    (bare_path / "python3.11").unlink()
    result = check("python3.11", path=bare_path)
    assert result.returncode == 2
    assert "missing: Python 3 (python3.11): " in result.stderr
    assert (
        "All at once: sudo apt-get install -y g++ python3 python3-dev python3-venv\n"
        in result.stderr
    )


def test_names_a_missing_rendering_driver(tmp_path: Path) -> None:
    result = check(
        sys._base_executable, path=os.environ["PATH"], __EGL_VENDOR_LIBRARY_DIRS=str(tmp_path)
    )
    assert result.returncode == 2
    assert "an EGL driver (Mesa): sudo apt-get install -y libegl-mesa0" in result.stderr


@pytest.mark.parametrize(
    ("version", "packages", "allowed"),
    [
        ("3.9", "use", "3.11 or 3.12"),
        ("3.10", "use", "3.11 or 3.12"),
        ("3.1", "use", "3.11 or 3.12"),
        ("3.13", "use", "3.11 or 3.12"),
        ("3.12", "develop", "3.11"),
        ("3.12", "use", None),
        ("3.11", "use", None),
        ("3.11", "develop", None),
    ],
)
def test_another_python_gets_a_plain_message(
    version: str, packages: str, allowed: str | None, bare_path: Path
) -> None:
    name = f"python{version}"
    python = bare_path / name
    python.unlink(missing_ok=True)
    python.write_text(f'#!/bin/sh\ncase "$2" in *version_info*) echo {version};; esac\n')
    python.chmod(0o755)
    result = check(name, packages, path=bare_path)
    # A compiler is missing here in any case.
    assert result.returncode == 2
    if allowed is None:
        assert "is Python" not in result.stderr
        return
    assert result.stderr.startswith(f"error: {name} is Python {version};")
    assert f"needs CPython {allowed}.\n" in result.stderr
    assert "docs/install.md" in result.stderr


def test_make_stops_before_it_builds(bare_path: Path, tmp_path: Path) -> None:
    make = shutil.which("make")
    assert make is not None
    environment = tmp_path / "venv"
    result = subprocess.run(
        [make, "setup", f"VENV={environment}"],
        cwd=ROOT,
        env={"PATH": str(bare_path), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "sudo apt-get install -y g++" in result.stderr
    assert not environment.exists()
