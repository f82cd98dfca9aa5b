"""Lenses: models, calibration, camera profiles, and what becomes of their frames."""
