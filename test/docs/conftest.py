from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="commands of nodes are parsed")
