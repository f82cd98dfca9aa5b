"""Trials and tables of tasks other than the door."""
