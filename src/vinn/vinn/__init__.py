"""VINN: Visual Imitation through Nearest Neighbors, without ROS.

The library is layered; a module imports only from layers below it (held by import-linter):
cli > evaluation > viz > sim > learning > ingest > rollout > policies > robot > retrieval >
encoders > demos.
"""

__version__ = "0.2.0"
