"""One executable per node; what it does is in the folder that its module names.

In a node's own process SIGINT and SIGTERM are taken from here on, before rclpy and all that a node
needs are loaded: they end it at once, with exit code 0, until `run_node` takes over.
"""

import sys
from pathlib import Path

from vinn_ros.node.signals import end_on_stop_signals

# `python -m vinn_ros.nodes.NAME` imports this package as "-m"; a console script is named NAME.
_started_as = Path(sys.argv[0]).name if sys.argv else ""
if _started_as == "-m" or (Path(__file__).parent / f"{_started_as}.py").is_file():
    end_on_stop_signals()
