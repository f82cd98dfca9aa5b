"""The one place that imports OpenVINO.

OpenVINO's package reports every import to its maker and writes to the home directory for it. A
robot does not phone home: with `openvino_telemetry` marked as absent, OpenVINO uses its own stub
that does nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """The `openvino` module, with its telemetry disabled for this process.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
