"""Encoders: image to embedding, by an exported network that runs without torch."""
