"""Stretch without `stretch_driver`: `vinn.robot.stretch_body` in this process."""

from __future__ import annotations

from vinn.robot.stretch_body.driver import StretchBodyDriver

from vinn_ros.drivers.driver import Driver

DRIVER = Driver("stretch_body", lambda node, settings: StretchBodyDriver())
