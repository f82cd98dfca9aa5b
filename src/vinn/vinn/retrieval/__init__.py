"""Nearest neighbours in the embedding space (paper, section III-B)."""
