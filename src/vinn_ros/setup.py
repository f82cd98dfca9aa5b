"""Metadata is in setup.cfg; the files outside of the Python package are here.

`python_requires` too: colcon cannot read a package whose setup.cfg has it.

`launch` and `config` are links to the workspace's top level. `ros2 run` and `ros2 launch` look for
executables in `lib/vinn_ros`: the files in `executables` forward to the console scripts in `bin`,
under pip and under colcon alike.
"""

from pathlib import Path

from setuptools import Distribution, setup

SHARE = "share/vinn_ros"


def tree(directory: str, *suffixes: str) -> list[tuple[str, list[str]]]:
    """Every file below `directory` with one of `suffixes`, for the same place below `SHARE`."""
    files: dict[str, list[str]] = {}
    for path in sorted(Path(directory).glob("**/*")):
        if path.is_file() and path.suffix in suffixes:
            files.setdefault(f"{SHARE}/{path.parent.as_posix()}", []).append(path.as_posix())
    return list(files.items())


class EditableDataDistribution(Distribution):
    """Installs `data_files` in editable mode too, where setuptools asks for `has_data`."""

    def has_data(self) -> bool:
        return bool(self.data_files)


setup(
    distclass=EditableDataDistribution,
    python_requires=">=3.10",
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/vinn_ros"]),
        (SHARE, ["package.xml"]),
        *tree("launch", ".py"),
        *tree("config", ".yaml", ".xml", ".rviz", ".json"),
        ("lib/vinn_ros", sorted(str(path) for path in Path("executables").iterdir())),
    ],
)
