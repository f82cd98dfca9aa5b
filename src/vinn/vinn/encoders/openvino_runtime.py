"""The one place that imports OpenVINO, and the one `Core` of a process.

OpenVINO's package reports every import to its maker and writes to the home directory for it. A
robot does not phone home: with `openvino_telemetry` marked as absent, OpenVINO uses its own stub
that does nothing.

Loading OpenVINO's CPU plugin gives the calling thread a stack for signals, and unloading it
(with the last `Core`, compiled network or request) frees that stack. Plugins unloaded in the order
in which they were loaded leave the thread with a freed one: the next signal that Python handles,
a Ctrl-C or a child's end, kills the process by SIGSEGV. So one plugin is loaded, and stays.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

_making = threading.Lock()
_cores: list[Any] = []
"""At most one: it lives as long as the process."""


def import_openvino() -> ModuleType:
    """The `openvino` module, with its telemetry disabled for this process.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def openvino_core() -> Any:
    """The process's only `openvino.Core`; safe to use from any thread.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    with _making:
        if not _cores:
            _cores.append(import_openvino().Core())
        return _cores[0]
