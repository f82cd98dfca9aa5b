"""The Python that the manual shows runs as it stands; docs/extend.md's is tested with examples/."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documented import ROOT, pages

NOT_RUN = {"docs/performance.md": "needs a Milvus server; test/retrieval uses Milvus Lite"}
FILES = "docs/extend.md"


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in pages():
        name = page.relative_to(ROOT).as_posix()
        shown = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        found += [(name, code) for code in shown if name != FILES]
    return found


def test_each_reason_is_about_a_page_with_python() -> None:
    assert set(NOT_RUN) <= {name for name, _ in blocks()}
    assert len(blocks()) > len(NOT_RUN)


@pytest.mark.physics
@pytest.mark.parametrize(("page", "code"), blocks(), ids=[name for name, _ in blocks()])
def test_it_runs(page: str, code: str, tmp_path: Path) -> None:
    if page in NOT_RUN:
        modules = [n.module for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
        code = "\n".join(f"import {module}" for module in modules)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
