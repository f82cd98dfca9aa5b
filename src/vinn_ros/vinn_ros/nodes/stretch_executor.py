"""The executable `stretch_executor`: see `vinn_ros.executor.node`."""

from vinn_ros.executor.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
