"""The grasp point: its detectors, and how far off it is."""
