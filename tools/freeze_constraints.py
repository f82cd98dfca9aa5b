"""Write the versions of an environment's packages as pip constraints.

Usage: .venv/bin/python tools/freeze_constraints.py > constraints.txt
"""

import importlib.metadata
import re
import sys

# Built from this workspace.
OWN_PACKAGES = {"control-msgs", "vinn", "vinn-msgs", "vinn-ros"}

HEADER = """\
# The versions that were tested together (CPython 3.11, Linux x86-64); pip takes these with -c.
# Made by tools/freeze_constraints.py; a local build such as torch's CPU one satisfies its pin too.
"""


def pinned_versions() -> dict[str, str]:
    """Version by normalised name, of everything that came from a package index."""
    versions = {}
    for distribution in importlib.metadata.distributions():
        # The ROS wheels carry a second set of metadata (egg-info) under names no index knows.
        if distribution.read_text("METADATA") is None:
            continue
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name not in OWN_PACKAGES:
            versions[name] = distribution.version.partition("+")[0]
    return versions


def main() -> None:
    """Print the constraints of the environment that runs this."""
    lines = [f"{name}=={version}\n" for name, version in sorted(pinned_versions().items())]
    sys.stdout.write(HEADER + "".join(lines))


if __name__ == "__main__":
    main()
