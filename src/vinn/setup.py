"""Metadata is in setup.cfg; what colcon and the ament index need is here."""

from setuptools import setup

setup(
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vinn"]),
        ("share/vinn", ["package.xml"]),
    ],
)
