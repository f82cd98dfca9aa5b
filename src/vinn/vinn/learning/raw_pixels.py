"""Raw pixels as an embedding: the control that shows what a representation adds."""

from __future__ import annotations

from pathlib import Path

import torch

from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.export import export_network

NAME = "raw-pixels"
SIDE_PX = 24


def export_raw_pixels(out_dir: Path) -> Path:
    """Write an encoder artefact that shrinks an image to 24x24 pixels in [0, 1] and flattens it.

    Raises:
        ArtefactError: `out_dir` exists.
    """
    preprocessing = Preprocessing(
        width_px=SIDE_PX, height_px=SIDE_PX, mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)
    )
    return export_network(torch.nn.Flatten(), NAME, preprocessing, out_dir, {"weights": "none"})
