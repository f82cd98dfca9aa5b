"""Everything that opens a door: camera or simulation, policy, executor and supervisor.

The nodes and their parameters are described in `vinn_ros.bringup.graph`.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from vinn_ros.bringup.graph import ROBOTS, door_opening
from vinn_ros.bringup.launch_actions import chosen, common_arguments, parameter_files, start_graph


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch vinn_ros door_opening.launch.py` starts."""
    arguments = [
        DeclareLaunchArgument(
            "robot",
            default_value="real",
            choices=list(ROBOTS),
            description="real: a Stretch with its stretch_driver running; sim: MuJoCo.",
        ),
        DeclareLaunchArgument(
            "policy",
            default_value="",
            description="Directory of the policy artefact; empty: load one later (policy/load).",
        ),
        DeclareLaunchArgument(
            "camera_device",
            default_value="",
            description="Wrist camera of the real robot: /dev/v4l/by-id/..., a video file, a "
            "folder of images, or topic:/NAME of another node; empty: as in the parameter files.",
        ),
        DeclareLaunchArgument(
            "recordings",
            default_value="",
            description="Directory for the rollouts' recordings; empty: as in the parameter files.",
        ),
        DeclareLaunchArgument(
            "console",
            default_value="false",
            choices=["true", "false"],
            description="Also the operator's web page (parameters of operator_console).",
        ),
        DeclareLaunchArgument(
            "views",
            default_value="false",
            choices=["true", "false"],
            description="Also markers and transforms for RViz and Foxglove.",
        ),
        DeclareLaunchArgument(
            "nodes",
            default_value="",
            description="Names of the nodes to start here, separated by commas, when the others "
            "run on another machine; empty: all.",
        ),
        *common_arguments(),
    ]
    graph = start_graph(
        arguments,
        lambda values: chosen(
            door_opening(
                values["robot"],
                values["policy"],
                namespace=values["namespace"],
                parameter_files=parameter_files(values),
                camera=values["camera_device"],
                recordings=values["recordings"],
                console=values["console"] == "true",
                views=values["views"] == "true",
            ),
            values["nodes"],
        ),
        robot=lambda values: values["robot"],
    )
    return LaunchDescription([*arguments, graph])
