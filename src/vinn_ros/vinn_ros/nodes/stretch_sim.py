"""The executable `stretch_sim`: see `vinn_ros.sim.node`."""

from vinn_ros.sim.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
