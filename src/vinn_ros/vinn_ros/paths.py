"""Where the installed configuration lies, from a source checkout as from an installed package."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from vinn.errors import ConfigError


def config_directory() -> Path:
    """The directory with `door_opening.yaml`, `robot/` and `fastdds.xml`.

    Raises:
        vinn.errors.ConfigError: neither installed nor in a checkout.
    """
    # src/vinn_ros/vinn_ros/paths.py -> src/vinn_ros/config, a link to the checkout's own: whoever
    # runs from a checkout wants what stands there, not what was installed some time ago.
    candidates = [
        Path(__file__).resolve().parents[1] / "config",
        Path(sys.prefix) / "share" / "vinn_ros" / "config",  # installed by pip
    ]
    # Neither sourced nor installed: both errors mean that ROS 2 knows nothing of the package.
    with contextlib.suppress(LookupError, OSError):
        candidates.append(Path(get_package_share_directory("vinn_ros")) / "config")
    for candidate in candidates:
        if (candidate / "door_opening.yaml").is_file():
            return candidate.resolve()
    raise ConfigError(
        f"door_opening.yaml: not in {', '.join(map(str, candidates))}; install vinn_ros again"
    )


def config_file(name: str, parameter: str) -> Path:
    """A file named by a parameter; a relative name counts from the configuration directory.

    Raises:
        vinn.errors.ConfigError: empty, or there is no such file.
    """
    if not name:
        raise ConfigError(f"{parameter}: empty; allowed: the path of a YAML file")
    path = Path(name)
    if not path.is_absolute():
        path = config_directory() / path
    if not path.is_file():
        raise ConfigError(f"{parameter}: {path}: no such file")
    return path
