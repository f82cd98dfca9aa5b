"""The executable `bag_player`: see `vinn_ros.playback.node`."""

from vinn_ros.playback.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
