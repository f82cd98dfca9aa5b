from __future__ import annotations

import os
from pathlib import Path

import pytest
from vinn.learning.processor import chosen_precision, has_bfloat16, physical_cores


def topology(root: Path, siblings: dict[int, str]) -> Path:
    for cpu, text in siblings.items():
        folder = root / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("allowed", "siblings", "cores"),
    [
        ({0, 1, 2, 3}, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, 2),
        ({0, 1, 2, 3}, {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, 2),
        ({0, 1}, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, 2),
        ({1, 3}, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, 1),
        ({0, 1, 5}, {}, 3),
    ],
)
def test_hyper_threads_of_a_core_count_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    allowed: set[int],
    siblings: dict[int, str],
    cores: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed, raising=False)
    assert physical_cores(topology(tmp_path, siblings)) == cores


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 fsrm\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512_bf16_like\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("", False),
    ],
)
def test_bfloat16_is_what_the_processor_says(tmp_path: Path, text: str, has: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert has_bfloat16(path) is has
    assert not has_bfloat16(tmp_path / "missing")


def test_a_wanted_precision_is_kept_and_auto_asks_the_processor() -> None:
    for wanted in ("32-true", "16-mixed", "bf16-mixed"):
        for bfloat16 in (False, True):
            assert chosen_precision(wanted, "cpu", bfloat16) == wanted  # type: ignore[arg-type]
    assert chosen_precision("auto", "cpu", True) == "bf16-mixed"
    assert chosen_precision("auto", "cpu", False) == "32-true"
    assert chosen_precision("auto", "gpu", True) == "32-true"
