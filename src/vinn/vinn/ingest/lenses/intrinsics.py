"""Calibrated lenses in the files of others.

JSON as OpenImuCameraCalibrator writes it and UMI (Chi et al., 2024) keeps it, and the YAML of ROS's
`camera_calibration`, which the camera node publishes as camera info.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from vinn.errors import ConfigError
from vinn.ingest.lenses.lens import Lens
from vinn.reading.config_file import validated
from vinn.reading.documents import read_json
from vinn.reading.regular import reason_of

_RADIAL = tuple(f"radial_distortion_{i}" for i in range(1, 5))
_TYPES = {"FISHEYE": "kb4", "PINHOLE": "pinhole"}


def intrinsics_json(lens: Lens, rms_px: float, views: int, rate_hz: float = 0.0) -> str:
    """A lens as UMI keeps it. Readers that take one focal length for both axes read `fx`."""
    names = {model: name for name, model in _TYPES.items()}
    content = {
        "final_reproj_error": rms_px,
        "fps": rate_hz,
        "image_height": lens.height_px,
        "image_width": lens.width_px,
        "intrinsic_type": names[lens.model],
        "intrinsics": {
            "aspect_ratio": lens.fy_px / lens.fx_px,
            "focal_length": lens.fx_px,
            "principal_pt_x": lens.cx_px,
            "principal_pt_y": lens.cy_px,
            **dict(zip(_RADIAL, lens.k or (0.0,) * 4, strict=True)),
            "skew": 0.0,
        },
        "nr_calib_images": views,
        "stabelized": False,
    }
    return json.dumps(content, indent=4) + "\n"


def read_intrinsics(path: Path) -> Lens:
    """The lens in such a JSON file.

    Raises:
        ConfigError: missing, not JSON, or a lens that is not supported (named).
    """
    content = read_json(path, ConfigError)
    try:
        kind, values = content["intrinsic_type"], content["intrinsics"]
        if kind not in _TYPES:
            raise ConfigError(f"{path}: intrinsic_type {kind!r}; allowed: {', '.join(_TYPES)}")
        if abs(float(values.get("skew", 0.0))) > 1e-6:
            raise ConfigError(f"{path}: skew {values['skew']}; allowed: 0")
        focal_px = float(values["focal_length"])
        k1, k2, k3, k4 = (float(values.get(name, 0.0)) for name in _RADIAL)
        fields = {
            "model": _TYPES[kind],
            "width_px": content["image_width"],
            "height_px": content["image_height"],
            "fx_px": focal_px,
            "fy_px": focal_px * float(values.get("aspect_ratio", 1.0)),
            "cx_px": values["principal_pt_x"],
            "cy_px": values["principal_pt_y"],
            "k": (k1, k2, k3, k4) if kind == "FISHEYE" else None,
        }
    except KeyError as cause:
        raise ConfigError(f"{path}: {cause.args[0]} is missing") from cause
    except (ValueError, TypeError, AttributeError, OverflowError) as cause:
        raise ConfigError(f"{path}: not camera intrinsics: {reason_of(cause)}") from cause
    return validated(Lens, fields, str(path))


def camera_info_yaml(lens: Lens, name: str) -> str:
    """A lens as ROS's `camera_calibration` writes it; fisheyes are `equidistant`."""

    def matrix(rows: int, values: list[float]) -> dict[str, Any]:
        return {"rows": rows, "cols": len(values) // rows, "data": [float(v) for v in values]}

    fx, fy, cx, cy = lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px
    content = {
        "image_width": lens.width_px,
        "image_height": lens.height_px,
        "camera_name": name,
        "camera_matrix": matrix(3, [fx, 0, cx, 0, fy, cy, 0, 0, 1]),
        "distortion_model": "plumb_bob" if lens.k is None else "equidistant",
        "distortion_coefficients": matrix(1, list(lens.k or (0.0,) * 5)),
        "rectification_matrix": matrix(3, [1, 0, 0, 0, 1, 0, 0, 0, 1]),
        "projection_matrix": matrix(3, [fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0]),
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
