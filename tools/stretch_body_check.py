"""Write what the calls of stretch_body do that the driver makes, measured on its released code.

Usage:
    python tools/stretch_body_check.py > test/fakes/robot/stretch_body_behaviour.json

Makes an environment in a temporary folder, installs the release named below there (without its
cameras, meshes and plots, which stand in as empty modules), and runs its classes with the serial
ports replaced by notebooks. Nothing moves, nothing is copied. The tests hold
`test/fakes/robot/fake_stretch_body.py` against the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

RELEASE = "0.7.31"
NEEDED = ("pyserial", "dynamixel-sdk", "numpy", "pyyaml", "click", "filelock")
"""What its motors import; the rest of its 180 dependencies is for other things."""

FLEET_ID = "stretch-se3-0000"
FLEET = {"stretch_user_params.yaml": "{}\n", "stretch_configuration_params.yaml": ""}


def main() -> int:
    """Install, run the probe there, print its JSON."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        venv.create(folder / "env", with_pip=True)
        python = folder / "env/bin/python"
        install = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*install, "--no-deps", f"hello-robot-stretch-body=={RELEASE}"], check=True)
        subprocess.run([*install, *NEEDED], check=True)
        for name in (FLEET_ID, "log/stretch_body_logger"):
            (folder / "fleet" / name).mkdir(parents=True)
        for name, text in FLEET.items():
            (folder / "fleet" / FLEET_ID / name).write_text(text)
        environment = os.environ | {
            "HELLO_FLEET_PATH": str(folder / "fleet"),
            "HELLO_FLEET_ID": FLEET_ID,
        }
        probe = Path(__file__).with_name("stretch_body_probe.py")
        return subprocess.run([str(python), str(probe), RELEASE], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
