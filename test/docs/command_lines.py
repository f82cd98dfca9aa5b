"""Whether a command line is one of today: parsed by the program's own parser, and not run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import typer.core
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH_RECORDER = ROOT / "test" / "fakes" / "launch_recorder"
PACKAGES_OF_OTHERS = ("stretch_core",)
OTHERS = (
    *("apt-get", "colcon", "docker", "export", "openssl", "pip", "pytest", "ray", "rosdep"),
    *("rviz2", "source", "usermod"),
)
"""Programs of others: of theirs, only what they are given of the repository is looked at."""
PARTS = ("config/", "docker/", "examples/", "measure/", "src/", "test/", "tools/")


class NotOfToday(Exception):
    """Says what is wrong with a command line."""


def check(line: str) -> None:
    """Parse a command line as its program would.

    Raises:
        NotOfToday: no such program, option, value, file, target or interface.
    """
    if re.search(r"(^| )\[", line):
        raise NotOfToday(f"{line}: no command but a synopsis; show one that can be copied")
    words = [word for word in shlex.split(line.strip("()").partition(";")[0]) if word != "..."]
    while words and (re.match(r"[A-Z_]+=", words[0]) or words[0] in ("sudo", "umask")):
        words = words[2:] if words[0] == "umask" else words[1:]
    if not words:
        return
    name, arguments = words[0].rpartition("/")[2], words[1:]
    if name == "make":
        _make(arguments)
    elif name == "ros2":
        _ros2(arguments)
    elif name in ("python", "python3"):
        _python(arguments)
    elif name in OTHERS:
        _files(arguments)
        if name == "pip":
            _extras(arguments)
    elif "/" in words[0] and (ROOT / words[0]).suffix == ".sh":
        _files([words[0], *arguments])
    else:
        _installed(name, arguments)


def _make(arguments: Sequence[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z_-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z_]+) \??:?=", makefile, re.MULTILINE))
    for argument in arguments:
        variable, equals, _ = argument.partition("=")
        if variable not in (variables if equals else targets):
            raise NotOfToday(f"make: no {'variable' if equals else 'target'} {variable}")


def _python(arguments: Sequence[str]) -> None:
    if arguments[0] == "-m":
        module, rest = arguments[1], arguments[2:]
        if module.partition(".")[0] not in ("measure", "vinn", "vinn_ros"):
            raise NotOfToday(f"python -m {module}: not of this project")
        with _only_parsing(module, rest):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        _files(arguments[:1])


def _installed(name: str, arguments: Sequence[str]) -> None:
    """A command of the project's own packages."""
    if (name, *arguments[:1]) == ("vinn", "doctor"):  # hands its options on
        name, arguments = "vinn-doctor", arguments[1:]
    found = [
        point
        for point in importlib.metadata.entry_points(group="console_scripts", name=name)
        if point.value.partition(".")[0] in ("vinn", "vinn_ros")
    ]
    if not found:
        raise NotOfToday(f"{name}: no command of this project")
    main = found[0].load()
    with _only_parsing(name, arguments):
        main()
    if name == "vinn-bringup":
        _settings(arguments)


@contextlib.contextmanager
def _only_parsing(name: str, arguments: Sequence[str]) -> Iterator[None]:
    """A program begun here parses its arguments, to the last type and choice, and ends."""
    parse, said = argparse.ArgumentParser.parse_args, io.StringIO()

    def parse_only(self: argparse.ArgumentParser, args: Sequence[str] | None = None) -> None:
        parse(self, args)
        raise SystemExit(0)

    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
    ):
        patch.setattr(sys, "argv", [name, *arguments])
        patch.chdir(ROOT)
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        patch.setattr(typer.core.TyperCommand, "invoke", lambda self, context: 0)
        try:
            yield
        except SystemExit as end:
            if end.code not in (0, None):
                lines = said.getvalue().strip().splitlines()
                raise NotOfToday(f"{name}: {' '.join(lines[-3:])}") from end


def _settings(arguments: Sequence[str]) -> None:
    """`--set NODE.PARAMETER=VALUE` names parameters that the nodes declare."""
    from vinn_ros.bringup import graph

    robot = dict(itertools.pairwise(arguments)).get("--robot", "sim")
    given = [b for a, b in itertools.pairwise(arguments) if a == "--set"]
    specs = graph.with_settings(graph.door_opening(robot, "", console=True), given)
    for spec in specs:
        asked = [s.partition("=")[0].partition(".")[2] for s in given if s.startswith(spec.name)]
        node = importlib.import_module(f"vinn_ros.nodes.{spec.executable}").NODE
        table = {parameter.name: parameter for parameter in node.PARAMETERS}
        for name in asked:
            if name not in table:
                raise NotOfToday(f"{spec.name}: no parameter {name}")
            problem = table[name].problem(spec.parameters[name])
            if problem:
                raise NotOfToday(f"{spec.name}: {problem}")


def _ros2(arguments: Sequence[str]) -> None:
    verb = arguments[0]
    if verb == "launch":
        _launch(arguments[1], arguments[2], arguments[3:])
    elif verb == "run":
        scripts = importlib.metadata.entry_points(group="console_scripts", name=arguments[2])
        if arguments[1] != "vinn_ros" or not scripts:
            raise NotOfToday(f"ros2 run {arguments[1]} {arguments[2]}: no such executable")
    elif tuple(arguments[:2]) in (("service", "call"), ("action", "send_goal")):
        given = [word for word in arguments[2:] if not word.startswith("-")]
        _interface(*given)
    elif verb not in ("pkg", "security"):
        raise NotOfToday(f"ros2 {verb}: not known here; see test/docs/command_lines.py")
    else:
        _files(arguments)


def _launch(package: str, file: str, arguments: Sequence[str]) -> None:
    if package in PACKAGES_OF_OTHERS:
        return
    path = ROOT / "launch" / file
    if package != "vinn_ros" or not path.is_file():
        raise NotOfToday(f"ros2 launch {package} {file}: no such launch file")
    if "--show-args" in arguments:
        return
    given = dict(argument.split(":=", 1) for argument in arguments)
    if "params_file" in given:  # the user's; any sound one stands for it
        given["params_file"] = str(ROOT / "config" / "door_opening.yaml")
    code = (
        "import json, pathlib, sys; import recorder; "
        "recorder.record(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), json.dumps(given)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(LAUNCH_RECORDER)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotOfToday(f"ros2 launch {file}: {done.stderr.strip().splitlines()[-1]}")


def _interface(name: str, type_name: str, fields: str = "{}") -> None:
    """A service or an action of docs/ros-api.md, and fields that it has."""
    row = f"`{name.strip('/')}` | {type_name} |"
    if row not in (ROOT / "docs" / "ros-api.md").read_text():
        raise NotOfToday(f"{name}: docs/ros-api.md has no {type_name} of this name")
    package, kind, short = type_name.split("/")
    interface = getattr(importlib.import_module(f"{package}.{kind}"), short)
    message = interface.Goal() if kind == "action" else interface.Request()
    try:
        for field, value in yaml.safe_load(fields).items():
            setattr(message, field, value)
    except (AttributeError, AssertionError) as error:
        raise NotOfToday(f"{type_name}: {fields}: {error}") from error


def _files(words: Sequence[str]) -> None:
    for word in words:
        if word.startswith(PARTS) and not (ROOT / word).exists():
            raise NotOfToday(f"{word}: no such file")


def _extras(words: Sequence[str]) -> None:
    known = importlib.metadata.metadata("vinn").get_all("Provides-Extra") or []
    for extras in re.findall(r"^(?:src/)?vinn\[(.+)\]$", "\n".join(words), re.MULTILINE):
        unknown = set(extras.split(",")) - set(known)
        if unknown:
            raise NotOfToday(f"vinn has no extra {', '.join(sorted(unknown))}")
