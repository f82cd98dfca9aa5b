"""The commands that docs/results name are commands of today: each is parsed by the real one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from vinn.cli.main import run

ROOT = Path(__file__).parents[2]


def recorded() -> list[str]:
    found: dict[str, None] = {}
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        content = json.loads(path.read_text())
        for entry in (content, *content.get("rows", [])):
            for command in str(entry.get("command") or "").split(" && "):
                if command:
                    found[command] = None
    return list(found)


def test_there_are_some() -> None:
    assert len(recorded()) >= 10


@pytest.mark.parametrize("command", recorded())
def test_a_recorded_command_is_one_of_today(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)
    while re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    name, arguments = words[0].rpartition("/")[2], words[1:]
    if name == "make":
        targets = re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif name == "vinn":
        # Options are parsed before the help is printed: an unknown one is refused.
        assert run([*arguments, "--help"]) == 0, capsys.readouterr().err
    elif name == "python":
        script = 2 if arguments[0] == "-m" else 1
        if script == 1:
            assert (ROOT / arguments[0]).is_file()
        _check_options([sys.executable, *arguments[:script]], arguments[script:])
    elif "/" in words[0] and (ROOT / words[0]).suffix == ".sh":
        assert (ROOT / words[0]).is_file()
        assert all((ROOT / word).exists() for word in arguments if word.startswith("test/"))
    else:
        _check_options([str(Path(sys.executable).with_name(name))], arguments)


def _check_options(command: list[str], arguments: list[str]) -> None:
    done = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, timeout=300, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    options = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z][a-z-]*", done.stdout))
