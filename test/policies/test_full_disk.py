"""A disk that takes no more: one line that names what was to be written, and nothing is left."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_rollout import record_rollout
from tiny_encoder import write_square_demos, write_tiny_encoder
from vinn.policies.build import build_policy

ROOM_BYTES = 3000
"""A file may not be longer; as on a full disk, the write fails half-way."""
COMMANDS = [
    ["policy", "build", "demos", "--encoder", "encoder", "--out", "new/it"],
    ["policy", "remove", "policy", "square_0", "--out", "new/it"],
    ["demos", "add", "s.mcap", "--to", "new/it", "--policy", "policy", "--out-policy", "new/p"],
    ["demos", "export", "rosbag2", "demos", "--out", "new/it"],
    ["demos", "export", "lerobot", "demos", "--out", "new/it"],
    ["demos", "view", "demos", "--out", "new/it.html"],
    ["camera", "board", "--out", "new/it.png"],
    ["report", "s.mcap", "--out", "new/it"],
    ["replay", "s.mcap", "--policy", "policy", "--out", "new/it.html"],
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("disk")
    dataset = write_square_demos(root / "demos", 3)
    write_tiny_encoder(root / "encoder")
    build_policy(dataset, root / "encoder", root / "policy", k=3)
    record_rollout(root / "s.mcap", root / "policy")
    return root


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, ROOM_BYTES))


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: "-".join(arguments[:2]))
def test_one_line_names_what_was_to_be_written(
    parts: Path, tmp_path: Path, arguments: list[str]
) -> None:
    shutil.copytree(parts, tmp_path, dirs_exist_ok=True)
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-B", "-c", "from vinn.cli.main import main; main()", *arguments],
        cwd=tmp_path,
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path.with_name("matplotlib"))},
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    *_, last = done.stderr.strip().splitlines()
    assert done.returncode == 2 and last.startswith("vinn: error: new/it"), done.stderr
    assert "cannot be written" in last and "Traceback" not in done.stderr
    assert ".partial" not in last.partition("->")[0]
    left = [path for path in set(tmp_path.rglob("*")) - before if not path.is_dir()]
    assert left == []


def test_a_disk_that_is_full_in_earnest(parts: Path, tmp_path: Path) -> None:
    """A tmpfs, where one may be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.call(mount, stderr=subprocess.DEVNULL):
        pytest.skip("nothing may be mounted here")
    try:
        command = ["policy", "build", str(parts / "demos"), "--encoder", str(parts / "encoder")]
        done = subprocess.run(
            [sys.executable, "-B", "-c", "from vinn.cli.main import main; main()", *command,
             "--out", str(small / "it")],
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert f"{small / 'it'}: cannot be written: No space left" in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.check_call(["umount", "-l", str(small)])
