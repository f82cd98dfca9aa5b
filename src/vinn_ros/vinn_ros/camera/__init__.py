"""The wrist camera's node."""
