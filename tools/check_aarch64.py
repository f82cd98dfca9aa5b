"""Check which sets of Python packages a 64-bit ARM machine can install from wheels alone.

A Jetson (JetPack 6) or a Raspberry Pi (Raspberry Pi OS 12): Linux with glibc 2.35. pip resolves as
that machine would and installs nothing: `robot`, what the nodes need beside ROS 2 Humble, for
CPython 3.10; all else for 3.11 at the versions of constraints.txt. The sets `use` and `develop` are
looked at without the wheels of ROS 2, which are the set `ros`.

Usage: python3 tools/check_aarch64.py [NAME...]     names: robot, ros, use, develop, or an extra
Exit code 0: all resolve; 1: some do not (they are named, with pip's reason); 3: not checked, the
package index cannot be reached.
"""

import configparser
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from check_robot_dependencies import HUMBLE_CONSTRAINTS, NETWORK_ERRORS
from package_requirements import SETUP_CFG, requirements

ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(35, 16, -1)] + [
    "manylinux2014_aarch64",
    "linux_aarch64",
]
CONSTRAINTS = ROOT / "constraints.txt"
# pip takes markers such as platform_machine == "x86_64" from the machine that it runs on.
PIP_THERE = (
    "import platform, runpy; platform.machine = lambda: 'aarch64'; "
    "runpy.run_module('pip', run_name='__main__')"
)
REASON = re.compile(r"ERROR: (?:No matching distribution found for|Cannot install) (.+)")


def listed(name: str) -> list[str]:
    """The requirements of a set: robot, ros, use, develop, or one extra of `src/vinn`."""
    if name == "robot":
        return requirements()
    if name not in ("ros", "use", "develop"):
        return requirements(name)
    found: list[str] = []
    for line in (ROOT / "tools" / "requirements" / f"{name}.txt").read_text().splitlines():
        extras = re.fullmatch(r"-e src/vinn\[([\w,]+)\]", line)
        if extras is not None:
            found += requirements(*extras.group(1).split(","))
        elif line and not line.startswith(("#", "-")):
            found.append(line)
    return found


def resolve(
    lines: list[str], python: str = "3.11", constraints: Path = CONSTRAINTS
) -> subprocess.CompletedProcess[str]:
    """pip's answer for the other machine."""
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-c", PIP_THERE, "install", "--quiet", "--dry-run"]
        command += ["--disable-pip-version-check", "--ignore-installed", "--retries", "1"]
        command += ["--only-binary", ":all:", "--target", target, "--report", "/dev/null"]
        command += ["--python-version", python, "--implementation", "cp"]
        for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
            command += ["--abi", abi]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        command += ["-c", str(constraints), *lines]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def main(names: list[str]) -> int:
    """Resolve each set and say so."""
    config = configparser.ConfigParser()
    config.read(SETUP_CFG, encoding="utf-8")
    known = ["robot", "ros", "use", "develop", *config["options.extras_require"]]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: {unknown[0]}: allowed: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = False
    for name in names or known:
        humble = ("3.10", HUMBLE_CONSTRAINTS) if name == "robot" else ()
        result = resolve(listed(name), *humble)
        if result.returncode and any(sign in result.stderr for sign in NETWORK_ERRORS):
            print("not checked: the package index cannot be reached", file=sys.stderr)
            return 3
        reasons = REASON.findall(result.stderr) or result.stderr.splitlines()[-1:]
        failed = failed or result.returncode != 0
        print(f"{name}: {'resolves' if not result.returncode else 'does not: ' + reasons[-1]}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
