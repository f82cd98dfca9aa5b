"""Metadata is in setup.cfg; what colcon and the ament index need is here.

`python_requires` too: colcon cannot read a package whose setup.cfg has it.
"""

from setuptools import setup

setup(
    python_requires=">=3.10",
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vinn"]),
        ("share/vinn", ["package.xml"]),
    ],
)
