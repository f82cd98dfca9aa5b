"""Print the requirements of `src/vinn` in pip's format: the one list of what pip must bring.

On a ROS 2 installation colcon builds the packages and pip only brings what rosdep lacks:

    python3 tools/package_requirements.py > /tmp/requirements.txt
    pip install -r /tmp/requirements.txt

Usage: python3 tools/package_requirements.py [EXTRA...]     extras: export, sim
"""

import configparser
import sys
from pathlib import Path

SETUP_CFG = Path(__file__).resolve().parent.parent / "src" / "vinn" / "setup.cfg"


def requirements(*extras: str) -> list[str]:
    """The lines of `install_requires` and of the named extras.

    Raises:
        SystemExit: an extra that setup.cfg does not have.
    """
    config = configparser.ConfigParser()
    config.read(SETUP_CFG, encoding="utf-8")
    known = config["options.extras_require"]
    lines = config["options"]["install_requires"].split("\n")
    for extra in extras:
        if extra not in known:
            raise SystemExit(f"error: no extra {extra!r}; allowed: {', '.join(sorted(known))}")
        lines += known[extra].split("\n")
    return [line for line in lines if line]


if __name__ == "__main__":
    print("\n".join(requirements(*sys.argv[1:])))
