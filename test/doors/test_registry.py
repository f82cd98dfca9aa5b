"""What a registry finds by name, and what it says of everything else."""

from __future__ import annotations

import random
import string
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from installed_package import install
from vinn.errors import ConfigError
from vinn.registry import Registry


@dataclass
class Thing:
    name: str


OWN = Thing("own")
MISNAMED = Thing("other")
CODE = "from test_registry import Thing\nTHING = Thing({name!r})\nNUMBER = 3\n"


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    """A group that no other test has: entry points are looked for on the whole path."""
    return f"vinn_test.{request.node.name}".replace("[", "_").replace("]", "")


def registry(group: str) -> Registry[Thing]:
    return Registry("thing", group, Thing, {"own": f"{__name__}:OWN"})


def installed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, group: str, name: str, value: str, code: str = ""
) -> None:
    module = value.partition(":")[0]
    install(folder, module, code or CODE.format(name=name), {group: {name: value}})
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setitem(sys.modules, "test_registry", sys.modules[__name__])


@pytest.mark.parametrize("seed", range(5))
def test_things_of_packages_are_found_by_name(
    seed: int, group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = random.Random(seed)
    names = {"".join(letters.choices(string.ascii_lowercase + "-", k=9)) for _ in range(3)}
    for number, name in enumerate(sorted(names)):
        module = f"package_{seed}_{number}"
        installed(monkeypatch, tmp_path / module, group, name, f"{module}:THING")
    found = registry(group)
    assert tuple(found) == ("own", *sorted(names))
    assert found["own"] is OWN
    for name in names:
        assert found[name].name == name and found[name] is found[name]


def test_nothing_is_imported_before_it_is_asked_for(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, group, "late", "imported_late:THING")
    found = registry(group)
    assert "late" in found and "imported_late" not in sys.modules
    assert found["late"].name == "late" and "imported_late" in sys.modules


def test_an_unknown_name_lists_the_known_ones(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, group, "theirs", "package_theirs:THING")
    with pytest.raises(ConfigError, match=r"^thing 'x' is unknown; known: own, theirs$"):
        registry(group)["x"]
    assert registry(group).get("x") is None and "x" not in registry(group)
    assert registry(group).own == ("own",) and len(registry(group)) == 2


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ("broken_import:THING", "import a_module_that_is_not_there\n", "cannot be loaded"),
        ("broken_raise:THING", "raise RuntimeError('two\\nlines')\n", "RuntimeError: two lines"),
        ("broken_syntax:THING", "def\n", "SyntaxError"),
        ("broken_attribute:NOTHING", "", "cannot be loaded"),
        ("broken_sort:NUMBER", "", "is a int; allowed: Thing"),
        ("broken_name:THING", CODE.format(name="another"), "calls itself 'another'"),
    ],
)
def test_a_package_that_does_not_keep_its_word_is_named_in_one_line(
    value: str, code: str, message: str, group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, group, "bad", value, code)
    found = registry(group)
    assert found["own"] is OWN
    with pytest.raises(ConfigError, match=message) as raised:
        found["bad"]
    assert "thing 'bad'" in str(raised.value) and "\n" not in str(raised.value)


def test_a_name_in_two_packages_is_refused_and_one_on_the_path_twice_is_not(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first_of_two", "second_of_two"):
        installed(monkeypatch, tmp_path / name, group, "both", f"{name}:THING")
    with pytest.raises(ConfigError, match=r"in two packages: .*first_of_two:THING"):
        registry(group)["both"]
    installed(monkeypatch, tmp_path / "a", group, "once", "there_twice:THING")
    installed(monkeypatch, tmp_path / "b", group, "once", "there_twice:THING")
    assert registry(group)["once"].name == "once"


def test_names_of_this_package_cannot_be_taken(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, tmp_path, group, "own", "thief:THING")
    found = registry(group)
    assert found["own"] is OWN and tuple(found) == ("own",)
    with pytest.raises(ConfigError, match="'own' is there already"):
        found.add(Thing("own"))


def test_a_script_adds_for_as_long_as_it_runs(group: str) -> None:
    found, thing = registry(group), Thing("mine")
    found.add(thing)
    found.add(thing)
    assert found["mine"] is thing and tuple(found) == ("own", "mine")
    with pytest.raises(ConfigError, match="'mine' is there already"):
        found.add(Thing("mine"))
    with pytest.raises(ConfigError, match=r"calls itself|allowed: Thing"):
        found.add(registry)  # type: ignore[arg-type]
