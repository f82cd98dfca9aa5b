"""The executable `vinn_policy`: see `vinn_ros.policy.node`."""

from vinn_ros.policy.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
