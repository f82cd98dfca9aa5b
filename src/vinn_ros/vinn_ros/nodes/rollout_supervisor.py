"""The executable `rollout_supervisor`: see `vinn_ros.supervisor.node`."""

from vinn_ros.supervisor.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
