"""The policy's node: from frames to predictions."""
