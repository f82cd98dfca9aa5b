"""A folder in which the manual's commands find what they name: small, and made once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
from documented import ROOT
from installed_package import install
from recorded_rollout import record_rollout
from tiny_encoder import square_image, write_square_demos, write_tiny_encoder
from vinn.policies.build import build_policy

DEMONSTRATIONS = ("DEMOS", "demos", "data/doors")
ENCODERS = ("ENCODER", "encoder", "encoders/lite0")
POLICIES = ("POLICY", "policy", "policies/door", "runs/demo/policy", "other/policy")
RECORDINGS = ("RUN.mcap", "runs/rollouts/SESSION.mcap")
SHARED = (".venv", "config", "docs", "examples", "Makefile", "measure", "src", "tools")
"""Of the repository; what is run writes into none of them."""


def make(folder: Path) -> None:
    """The stand: everything that pages name and do not make."""
    dataset = write_square_demos(folder / DEMONSTRATIONS[0], 5)
    encoder = write_tiny_encoder(folder / ENCODERS[0])
    policy = build_policy(dataset, encoder, folder / POLICIES[0], k=6, bandwidth=0.5)
    recording = record_rollout(folder / RECORDINGS[0], policy)
    for first, *others in (DEMONSTRATIONS, ENCODERS, POLICIES):
        for other in others:
            shutil.copytree(folder / first, folder / other)
    for other in RECORDINGS[1:]:
        (folder / other).parent.mkdir(parents=True)
        shutil.copy(recording, folder / other)
    cv2.imwrite(str(folder / "frame.jpg"), square_image(0.3, 0.6))
    (folder / "my-preset.yaml").write_text("progress: {}\n")
    for number, name, group in (
        ("04_own_policy", "ridge", "vinn.policies"),
        ("05_own_encoder", "colour-grid", "vinn.encoders"),
        ("06_own_task", "centring", "vinn.tasks"),
    ):
        code = (ROOT / "examples" / f"{number}.py").read_text()
        attribute = {"vinn.policies": "KIND", "vinn.encoders": "NETWORK", "vinn.tasks": "TASK"}
        module = f"example_{name.replace('-', '_')}"
        install(folder / "installed", module, code, {group: {name: f"{module}:{attribute[group]}"}})
    for name in SHARED:
        (folder / name).symlink_to(ROOT / name)


def run(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in the stand; what it is to make is not there yet."""
    for made in re.findall(r"--out (\S+)", text):
        target = folder / made
        if target.is_dir():
            shutil.rmtree(target)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "installed"),
        "HOME": str(folder),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "BROWSER": "true",
    }
    return subprocess.run(
        ["bash", "-c", text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
