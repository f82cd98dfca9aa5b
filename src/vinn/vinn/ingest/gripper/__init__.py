"""Gripper states of a film: masks, markers, the classifier and the pages for labelling."""
