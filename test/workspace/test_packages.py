"""The three packages agree with each other, and what is installed is what is in the workspace."""

import ast
import configparser
import importlib
import importlib.metadata
import os
import re
import sys
from pathlib import Path

import pytest

catkin_package = pytest.importorskip("catkin_pkg.package")

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
PREFIX = Path(sys.prefix)
PACKAGES = ("vinn", "vinn_msgs", "vinn_ros")
ENTRY_POINTS = {
    entry.name: entry
    for entry in importlib.metadata.entry_points(group="console_scripts")
    if entry.value.startswith(("vinn.", "vinn_ros."))
}
# Import name -> rosdep key or package name, where the two differ.
KEY_OF_IMPORT = {"aiohttp": "python3-aiohttp", "cv2": "python3-opencv", "numpy": "python3-numpy"}


def manifest(package: str):
    return catkin_package.parse_package(str(SRC / package / "package.xml"))


def setup_cfg(package: str) -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(SRC / package / "setup.cfg")
    return config


@pytest.mark.parametrize("package", PACKAGES)
def test_name_and_version_are_the_same_everywhere(package: str) -> None:
    stated = {(manifest(package).name, manifest(package).version)}
    if (SRC / package / "setup.cfg").exists():
        metadata = setup_cfg(package)["metadata"]
        stated.add((metadata["name"], metadata["version"]))
    else:
        text = (SRC / package / "pyproject.toml").read_text()
        stated.add(
            tuple(
                re.search(rf'^{key} = "(.+)"$', text, re.M).group(1) for key in ("name", "version")
            )
        )
    stated.add((package, importlib.metadata.version(package)))
    assert stated == {(package, manifest("vinn").version)}


@pytest.mark.parametrize("package", PACKAGES)
def test_colcon_can_read_the_metadata(package: str) -> None:
    """colcon evaluates the metadata as a literal: a version specifier in setup.cfg breaks it."""
    assert manifest(package).get_build_type() == (
        "ament_cmake" if package == "vinn_msgs" else "ament_python"
    )
    if (SRC / package / "setup.cfg").exists():
        assert "python_requires" not in setup_cfg(package)["options"]


def test_message_dependencies_are_declared() -> None:
    used = set()
    for path in SRC.glob("vinn_msgs/*/*"):
        if path.suffix in (".msg", ".srv", ".action"):
            used |= set(re.findall(r"^(\w+)/\w+\s", path.read_text(), re.M))
    declared = {dependency.name for dependency in manifest("vinn_msgs").build_depends}
    in_cmake = re.search(
        r"set\(interface_packages ([^)]+)\)", (SRC / "vinn_msgs/CMakeLists.txt").read_text()
    )
    assert in_cmake is not None
    assert used <= declared
    assert set(in_cmake.group(1).split()) == declared


def test_every_package_that_the_nodes_import_is_declared() -> None:
    imported = set()
    for path in (SRC / "vinn_ros" / "vinn_ros").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.partition(".")[0])
    # What pip brings for the library, vinn's own manifest states.
    library = {dependency.name for dependency in manifest("vinn").exec_depends}
    declared = {dependency.name for dependency in manifest("vinn_ros").exec_depends}
    undeclared = {
        name
        for name in imported - set(sys.stdlib_module_names) - {"vinn_ros"}
        if KEY_OF_IMPORT.get(name, name) not in declared
        and f"python3-{name}" not in library
        and f"python3-{name}-pip" not in library
    }
    assert undeclared == set()


@pytest.mark.parametrize("name", sorted(ENTRY_POINTS))
def test_console_script_leads_to_a_function(name: str) -> None:
    entry = ENTRY_POINTS[name]
    assert callable(getattr(importlib.import_module(entry.module), entry.attr))


def test_every_node_is_an_executable_for_ros2_run() -> None:
    directory = PREFIX / "lib" / "vinn_ros"
    nodes = {
        name for name, entry in ENTRY_POINTS.items() if entry.module.startswith("vinn_ros.nodes.")
    }
    assert {path.name for path in directory.iterdir()} == nodes
    for name in nodes:
        assert os.access(directory / name, os.X_OK)
        assert (directory / ".." / ".." / "bin" / name).exists()


@pytest.mark.parametrize(
    "path",
    [
        path.relative_to(ROOT)
        for directory in ("launch", "config")
        for path in sorted((ROOT / directory).rglob("*"))
        if path.suffix in (".py", ".yaml", ".xml", ".rviz", ".json") and path.is_file()
    ],
    ids=str,
)
def test_shared_file_is_installed(path: Path) -> None:
    installed = PREFIX / "share" / "vinn_ros" / path
    assert installed.read_bytes() == (ROOT / path).read_bytes(), "stale: run `make setup`"


@pytest.mark.parametrize("package", ("vinn_msgs", "vinn_ros"))
def test_package_is_in_the_ament_index(package: str) -> None:
    assert (PREFIX / "share/ament_index/resource_index/packages" / package).exists()
    assert (PREFIX / "share" / package / "package.xml").exists()


def test_constraints_pin_every_direct_requirement() -> None:
    pins = re.findall(r"^([a-z0-9-]+)==\S+$", (ROOT / "constraints.txt").read_text(), re.M)
    lines = [
        line
        for name in ("develop.txt", "ros.txt")
        for line in (ROOT / "tools" / "requirements" / name).read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    ]
    config = setup_cfg("vinn")
    for text in (config["options"]["install_requires"], *config["options.extras_require"].values()):
        lines += [line for line in text.splitlines() if line]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line).group(0)).lower() for line in lines}
    assert names <= set(pins)


def test_constraints_name_no_place() -> None:
    """Only versions: nothing of the machine that wrote the file."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    assert [line for line in entries if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []


def extras_of(packages: str) -> set[str]:
    """The extras of `vinn` in a set of packages."""
    (found,) = re.findall(r"^-e src/vinn\[([\w,]+)\]$", requirements(packages), re.M)
    return set(found.split(","))


def test_develop_holds_every_extra_and_use_no_torch() -> None:
    extras = setup_cfg("vinn")["options.extras_require"]
    assert extras_of("develop") == set(extras)
    assert extras_of("use") == {"console", "export", "ingest", "report", "sim"}
    lines = [line for extra in extras_of("use") for line in extras[extra].splitlines()]
    assert not [line for line in lines if re.match("torch|lightning|efficientnet-lite-py", line)]
    assert all("-r ros.txt\n" in requirements(name) for name in ("use", "develop"))


def requirements(packages: str) -> str:
    """The text of a set of packages."""
    return (ROOT / "tools" / "requirements" / f"{packages}.txt").read_text()
