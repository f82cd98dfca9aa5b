"""Check that a robot's Python packages resolve for Python 3.10, from wheels alone, without torch.

Stretch ships ROS 2 Humble on Ubuntu 22.04: Python 3.10, glibc 2.35, and packages that were built
for NumPy 1. pip resolves as that machine would and installs nothing. (It evaluates the markers of
dependencies for the Python that runs it.)

Usage: python3 tools/check_robot_dependencies.py
Exit code 0: resolved; 1: it does not; 3: not checked, the package index cannot be reached.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from package_requirements import requirements

PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(35, 16, -1)] + [
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
]
HUMBLE_CONSTRAINTS = Path(__file__).parent / "requirements" / "humble.txt"
# What training and simulation need has no business on a robot.
UNWANTED = {"torch", "torchvision", "mujoco"}
NETWORK_ERRORS = (
    "Failed to establish a new connection",
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ProxyError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "SSLError",
)


def resolve() -> subprocess.CompletedProcess[str]:
    """pip's answer for Python 3.10 on the robot's platform; stdout is its JSON report."""
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"]
        command += ["--disable-pip-version-check", "--ignore-installed", "--report", "-"]
        command += ["--only-binary", ":all:", "--target", target, "--retries", "1"]
        command += ["--python-version", "3.10", "--implementation", "cp", "--abi", "cp310"]
        command += ["--abi", "abi3", "--abi", "none"]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        command += ["-c", str(HUMBLE_CONSTRAINTS), *requirements()]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def main() -> int:
    """Resolve, judge and say so."""
    result = resolve()
    if result.returncode != 0:
        if any(sign in result.stderr for sign in NETWORK_ERRORS):
            print("not checked: the package index cannot be reached", file=sys.stderr)
            return 3
        print(f"error: does not resolve for Python 3.10:\n{result.stderr}", file=sys.stderr)
        return 1
    found = {
        item["metadata"]["name"].lower(): item["metadata"]["version"]
        for item in json.loads(result.stdout)["install"]
    }
    unwanted = sorted(UNWANTED & found.keys())
    if unwanted:
        print(f"error: a robot would have to install {', '.join(unwanted)}", file=sys.stderr)
        return 1
    print(f"{len(found)} packages resolve for Python 3.10 on ROS 2 Humble:")
    print(" ".join(f"{name}=={version}" for name, version in sorted(found.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
