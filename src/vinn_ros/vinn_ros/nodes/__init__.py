"""One module per node; each has a class and a `main`.

In a node's own process nothing may end it half-way: from here on, before rclpy and all that a node
needs are loaded, SIGINT and SIGTERM wait until the node asks for them.
"""

import sys
from pathlib import Path

from vinn_ros.signals import hold_stop_signals

# `python -m vinn_ros.nodes.NAME` imports this package as "-m"; a console script is named NAME.
_started_as = Path(sys.argv[0]).name if sys.argv else ""
if _started_as == "-m" or (Path(__file__).parent / f"{_started_as}.py").is_file():
    hold_stop_signals()
