"""docs/architecture.md names layers and entry points that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LAYERS = re.findall(r"^\| `(vinn\.\w+)` \| .* \| (.+) \|$", PAGE, re.MULTILINE)
ENTRIES = [(layer, entry) for layer, cell in LAYERS for entry in re.findall(r"`([\w.]+)`", cell)]


def test_every_layer_has_its_row() -> None:
    folders = {path.parent.name for path in (ROOT / "src/vinn/vinn").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "src/vinn/vinn").glob("[a-z]*.py")}
    assert {layer for layer, _ in LAYERS} == {f"vinn.{name}" for name in folders | modules}


@pytest.mark.parametrize(("layer", "entry"), ENTRIES)
def test_an_entry_point_is_there(layer: str, entry: str) -> None:
    *modules, name = entry.split(".")
    if not hasattr(importlib.import_module(".".join([layer, *modules])), name):
        importlib.import_module(f"{layer}.{entry}")
