"""Demonstrations: what they are (`types`), and how they lie on disk (`store`, `frames`)."""
