"""Values that no command can use: one line, exit code 2, and nothing is written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.cli.main import run


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("values")
    write_square_demos(root / "demos", 2)
    write_tiny_encoder(root / "encoder")
    return root


BUILD = ["policy", "build", "demos", "--encoder", "encoder", "--out", "new"]
LONG = "x" * 300
COMMANDS = [
    *([*BUILD, "--k", value] for value in ("-1", "0", "99999999999999999999", "17")),
    *([*BUILD, "--bandwidth", value] for value in ("nan", "inf", "-1", "0")),
    *([*BUILD, "--threads", value] for value in ("0", "-3")),
    *([*BUILD, "--preset", value] for value in ("kitchen door", "", LONG, "a/b", f"{LONG}.yaml")),
    *([*BUILD[:-1], value] for value in (LONG, "demos", "demos/square_0/meta.json/x")),
    *(["demos", area, LONG] for area in ("info", "validate", "split", "view")),
    *(["demos", "split", "demos", "--seed", value] for value in ("-1", "x")),
    *(["demos", "split", "demos", "--parts", value] for value in ("", "a", "a=nan", "a b=0.5")),
    ["demos", "split", "demos", "--out", LONG],
    ["demos", "info", "\udcff"],
    ["demos", "view", "demos", "--out", f"{LONG}.html"],
    ["demos", "import", "record3d", LONG, "--out", "new"],
    ["demos", "import", "record3d", "demos", "--out", "new", "--rate", "nan"],
    ["demos", "export", "rosbag2", "demos", "--out", LONG],
    ["policy", "predict", LONG, "image.jpg"],
    ["policy", "verify", LONG],
    ["policy", "verify", ""],
    ["embed", "demos", "--encoder", "encoder", "--out", f"{LONG}.npy"],
    ["embed", "demos", "--encoder", "encoder", "--out", "new.npy", "--workers", "0"],
    ["encoder", "info", LONG],
    ["recordings", "info", LONG],
    ["replay", LONG, "--policy", "demos"],
    ["camera", "board", "--out", f"{LONG}.png"],
    ["camera", "board", "--paper", "kitchen door"],
    ["camera", "calibrate", LONG, "--out", "new.json"],
]
# In a process of its own: torch cannot be loaded after what renders.
SIMULATED = [
    ["sim", "record", "--out", LONG, "--demos", "1"],
    ["sim", "record", "--out", "new", "--cabinets", "kitchen door"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=[str(i) for i in range(len(COMMANDS))])
def test_one_line_and_exit_code_2(
    parts: Path,
    tmp_path: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in ("demos", "encoder"):
        shutil.copytree(parts / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code = run(arguments)
    error = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert code == 2 and len(error) == 1 and error[0].startswith("vinn: error: "), error
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.physics
@pytest.mark.parametrize("arguments", SIMULATED, ids=["long", "blank"])
def test_the_same_of_commands_that_render(tmp_path: Path, arguments: list[str]) -> None:
    program = "from vinn.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    error = [line for line in done.stderr.splitlines() if "error" in line]
    assert done.returncode == 2 and len(error) == 1 and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
