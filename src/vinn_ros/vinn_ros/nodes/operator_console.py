"""The executable `operator_console`: see `vinn_ros.console.node`."""

from vinn_ros.console.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
