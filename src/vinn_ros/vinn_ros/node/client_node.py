"""Nodes of commands that ask and end: they offer nothing themselves."""

from __future__ import annotations

import os

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions


def client_node(name: str, namespace: str) -> Node:
    """Initialise rclpy and make a node without services of its own, in any enclave of SROS2.

    Args:
        name: of the command; the process id is appended.
        namespace: of the nodes that are asked; empty: none.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # Ctrl-C is the command's own affair: it may have to ask for a stop first.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    return Node(
        f"{name}_{os.getpid()}",
        namespace=f"/{namespace.strip('/')}" if namespace.strip("/") else None,
        use_global_arguments=False,
        start_parameter_services=False,
        # Newer rclpy offers it unless told not to; Humble does not know it.
        parameter_overrides=[Parameter("start_type_description_service", value=False)],
    )
