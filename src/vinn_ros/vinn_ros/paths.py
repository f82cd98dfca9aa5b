"""Where the installed configuration lies, from a source checkout as from an installed package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vinn.errors import ConfigError

_SHARE = Path("share") / "vinn_ros"


def config_directory() -> Path:
    """The directory with `door_opening.yaml`, `robot/` and `fastdds.xml`.

    A sourced workspace comes first, the topmost overlay before those below it: whoever sources one
    wants what stands there. Then the checkout that this code runs from, so that an edited file
    counts and not what was installed some time ago. Last the Python environment.

    Raises:
        vinn.errors.ConfigError: neither sourced, nor in a checkout, nor installed.
    """
    candidates = [
        *(prefix / _SHARE / "config" for prefix in _sourced_prefixes()),
        # src/vinn_ros/vinn_ros/paths.py -> src/vinn_ros/config, a link to the checkout's own
        Path(__file__).resolve().parents[1] / "config",
        Path(sys.prefix) / _SHARE / "config",
    ]
    for candidate in candidates:
        if (candidate / "door_opening.yaml").is_file():
            return candidate.resolve()
    raise ConfigError(
        f"door_opening.yaml: not in {', '.join(map(str, candidates))}; install vinn_ros again"
    )


def _sourced_prefixes() -> list[Path]:
    """Where the ament index looks, in its order, without the Python environment itself.

    ROS 2 from PyPI's wheels has the environment in the index too, before or after what is sourced.
    """
    own = Path(sys.prefix).resolve()
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [prefix for prefix in prefixes if prefix.resolve() != own]


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
