"""The executable `views`: see `vinn_ros.markers.node`."""

from vinn_ros.markers.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
