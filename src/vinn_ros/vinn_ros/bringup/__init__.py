"""The graph of nodes, started by `ros2 launch` or without it."""
