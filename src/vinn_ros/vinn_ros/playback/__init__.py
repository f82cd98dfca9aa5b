"""Recordings played to nodes."""
