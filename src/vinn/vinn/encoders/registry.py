"""What computes networks, by name; a package adds its own in the group "vinn.encoders"."""

from __future__ import annotations

from vinn.encoders.network import NetworkKind
from vinn.registry import Registry

RUNTIMES = ("openvino", "onnxruntime")
"""For the networks that `vinn encoder export` writes, the preferred one first."""

NETWORKS: Registry[NetworkKind] = Registry(
    "encoder network",
    "vinn.encoders",
    NetworkKind,
    {
        "openvino": "vinn.encoders.openvino_network:NETWORK",
        "onnxruntime": "vinn.encoders.onnx_network:NETWORK",
    },
)
