"""The executable `wrist_camera`: see `vinn_ros.camera.node`."""

from vinn_ros.camera.node import NODE, main

__all__ = ["NODE", "main"]

if __name__ == "__main__":
    main()
