"""A recording played to a policy: what would it do? No robot, nothing moves.

The nodes and their parameters are described in `vinn_ros.bringup.graph`.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from vinn_ros.bringup.graph import replay
from vinn_ros.bringup.launch_actions import common_arguments, number, parameter_files, start_graph


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch vinn_ros replay.launch.py` starts."""
    arguments = [
        DeclareLaunchArgument(
            "bag", description="Recording of a rollout, or a rosbag2 directory or file."
        ),
        DeclareLaunchArgument("policy", description="Directory of the policy artefact."),
        DeclareLaunchArgument(
            "rate", default_value="1.0", description="Speed; 1.0: with the original timing."
        ),
        DeclareLaunchArgument(
            "loop",
            default_value="false",
            choices=["true", "false"],
            description="Begin again at the end.",
        ),
        DeclareLaunchArgument(
            "paused",
            default_value="false",
            choices=["true", "false"],
            description="Hold before the first message (vinn-operator playback step, go).",
        ),
        *common_arguments(),
    ]
    graph = start_graph(
        arguments,
        lambda values: replay(
            values["bag"],
            values["policy"],
            rate=number(values, "rate"),
            loop=values["loop"] == "true",
            paused=values["paused"] == "true",
            namespace=values["namespace"],
            parameter_files=parameter_files(values),
        ),
        robot=lambda values: "real",
    )
    return LaunchDescription([*arguments, graph])
