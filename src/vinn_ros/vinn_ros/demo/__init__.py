"""`vinn-demo`: from nothing to a report of doors opened by the whole stack."""

from vinn_ros.demo.app import main

__all__ = ["main"]
