"""For RViz and Foxglove: the predicted motion and its neighbours as arrows, gripper and camera."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from numpy.typing import NDArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import JointState
from std_msgs.msg import ColorRGBA, Header
from vinn.robot.config import RobotConfig, load_robot_config
from vinn.robot.kinematics import gripper_R_camera
from visualization_msgs.msg import Marker, MarkerArray

from vinn_msgs.msg import Prediction
from vinn_ros.conversions import from_vector3, to_vector3
from vinn_ros.markers.transforms import (
    GRIPPER_FRAME,
    camera_transform,
    gripper_transform,
    quaternion,
)
from vinn_ros.node import qos
from vinn_ros.node.lifecycle import OK, Diagnosis, VinnNode
from vinn_ros.node.main import run_node
from vinn_ros.node.parameters import Parameter
from vinn_ros.paths import config_file

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not among the wheels; who has RViz has it
    TFMessage = None

_PREDICTED = ColorRGBA(r=1.0, g=0.62, b=0.11, a=1.0)
_NEIGHBOR = (0.0, 0.75, 0.55)
_NOVEL = ColorRGBA(r=0.8, g=0.1, b=0.1, a=1.0)
_DRAWN_NEIGHBORS = 20
_GRASP = (0.94, 0.89, 0.26)
_POINT_M, _SMALLEST_M = 0.01, 0.002
"""Diameters of the grasp point and of the thinnest ellipsoid around it."""


class ViewsNode(VinnNode):
    """`policy/prediction` to `policy/markers`, joint states to `/tf`."""

    NAME = "views"
    PARAMETERS = (
        Parameter("robot_config", "robot/stretch.yaml", "YAML file of vinn.robot: tool, camera"),
        Parameter(
            "length_scale", 4.0, "drawn length over predicted length", lower=0.1, upper=100.0
        ),
        Parameter(
            "unit_length_m",
            0.05,
            "length that a direction (unit action) counts for",
            unit="m",
            lower=0.001,
            upper=1.0,
        ),
        Parameter(
            "origin_m",
            0.15,
            "where arrows begin, before the camera",
            unit="m",
            lower=0.0,
            upper=2.0,
        ),
    )

    def __init__(self, cli_args: list[str] | None = None) -> None:
        """See `VinnNode`."""
        super().__init__(cli_args)
        self._drawn = 0
        self._config = RobotConfig()
        self._markers = self.create_lifecycle_publisher(MarkerArray, "policy/markers", qos.NEWEST)
        self.subscribe(
            Prediction,
            "policy/prediction",
            self._draw,
            qos.NEWEST,
            MutuallyExclusiveCallbackGroup(),
        )

        self._transforms = None
        if TFMessage is not None:
            self._transforms = self.create_lifecycle_publisher(TFMessage, "/tf", qos.STREAM)
            self.subscribe_sensor(
                JointState,
                "stretch/joint_states",
                self._transform,
                qos.STREAM,
                MutuallyExclusiveCallbackGroup(),
            )

    def configure(self) -> None:
        """Read where the camera looks."""
        self._config = load_robot_config(config_file(self.value("robot_config"), "robot_config"))

    def diagnose(self) -> Diagnosis:
        """How many predictions were drawn."""
        values = {"drawn": self._drawn, "transforms": self._transforms is not None}
        return OK, "active" if self.active else "not active", values

    def _draw(self, prediction: Prediction) -> None:
        if not self.active:
            return
        # What an earlier prediction had more of goes with it.
        markers = [Marker(header=prediction.header, action=Marker.DELETEALL)]
        novel = prediction.novelty > 1.0
        color = _NOVEL if novel else _PREDICTED
        markers.append(
            self._arrow(prediction, "prediction", 0, prediction.camera_delta, color, 2.0)
        )
        for number, neighbor in enumerate(prediction.neighbors[:_DRAWN_NEIGHBORS]):
            red, green, blue = _NEIGHBOR
            faint = ColorRGBA(r=red, g=green, b=blue, a=0.15 + 0.85 * float(neighbor.weight))
            markers.append(
                self._arrow(prediction, "neighbors", number, neighbor.camera_delta, faint, 1.0)
            )
        if prediction.has_grasp_point:
            markers += self._grasp_point(prediction)
        self._drawn += 1
        self._markers.publish(MarkerArray(markers=markers))

    def _transform(self, joints: JointState) -> None:
        if not self.active or self._transforms is None:
            return
        positions = dict(zip(joints.name, joints.position, strict=False))
        gripper = gripper_transform(positions, self._config, joints.header.stamp)
        if gripper is not None:
            camera = camera_transform(self._config, joints.header.stamp)
            self._transforms.publish(TFMessage(transforms=[gripper, camera]))

    def _grasp_point(self, prediction: Prediction) -> list[Marker]:
        """Where the gripper will close, and the ellipsoid of one standard deviation around it."""
        unit = prediction.action_scale == Prediction.ACTION_SCALE_UNIT
        scale = self.value("unit_length_m") if unit else 1.0
        rotation = gripper_R_camera(self._config.camera)
        position_m = scale * rotation @ from_vector3(prediction.grasp_point)
        std_m = np.maximum(scale * from_vector3(prediction.grasp_point_std), _SMALLEST_M / 2)
        x, y, z, w = quaternion(rotation)
        pose = Pose(orientation=Quaternion(x=x, y=y, z=z, w=w))
        pose.position = Point(**dict(zip("xyz", position_m.tolist(), strict=True)))

        def sphere(number: int, diameters_m: NDArray[np.float64], opacity: float) -> Marker:
            red, green, blue = _GRASP
            # It counts from between the finger tips, wherever the camera sits.
            return Marker(
                header=Header(stamp=prediction.header.stamp, frame_id=GRIPPER_FRAME),
                ns="grasp_point",
                id=number,
                type=Marker.SPHERE,
                action=Marker.ADD,
                pose=pose,
                scale=to_vector3(diameters_m),
                color=ColorRGBA(r=red, g=green, b=blue, a=opacity),
            )

        return [sphere(0, np.full(3, _POINT_M), 1.0), sphere(1, 2 * std_m, 0.3)]

    def _arrow(
        self,
        prediction: Prediction,
        namespace: str,
        number: int,
        delta: Vector3,
        color: ColorRGBA,
        width: float,
    ) -> Marker:
        unit = prediction.action_scale == Prediction.ACTION_SCALE_UNIT
        scale = self.value("length_scale") * (self.value("unit_length_m") if unit else 1.0)
        origin_m = self.value("origin_m")
        marker = Marker(
            header=prediction.header,
            ns=namespace,
            id=number,
            type=Marker.ARROW,
            action=Marker.ADD,
            points=[
                Point(x=0.0, y=0.0, z=origin_m),
                Point(x=scale * delta.x, y=scale * delta.y, z=origin_m + scale * delta.z),
            ],
            # Shaft, head, length of the head [m].
            scale=Vector3(x=0.004 * width, y=0.01 * width, z=0.015 * width),
            color=color,
        )
        marker.pose.orientation.w = 1.0
        return marker


NODE = ViewsNode


def main() -> None:
    """Run the node."""
    run_node(NODE)
