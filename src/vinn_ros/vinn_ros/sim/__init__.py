"""The simulated robot's node."""
