"""Parameters of the policy node."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage, Image

from vinn_ros.node.parameters import Parameter
from vinn_ros.node.sensor_stream import OFFERED, RELIABILITIES

IMAGE_TYPES = {"compressed": CompressedImage, "raw": Image}


def _grey(name: str, default: float, description: str) -> Parameter:
    return Parameter(name, default, description + ", of 255", lower=0.0, upper=255.0)


PARAMETERS = (
    Parameter("policy", "", "directory of a policy artefact; empty: load one later"),
    Parameter("threads", 2, "processor threads of the encoder", lower=1, upper=64),
    Parameter(
        "precision",
        "fp32",
        "of the encoder: fp32 as the policy was built; auto or bf16 are faster where the "
        "processor has bf16, and change embeddings a little",
        choices=("fp32", "auto", "bf16"),
    ),
    Parameter(
        "k",
        0,
        "neighbours that speak; 0: as the artefact says",
        lower=0,
        upper=10_000,
        run_time=True,
    ),
    Parameter(
        "image_transport",
        "compressed",
        "which topic of the wrist camera is read",
        choices=tuple(IMAGE_TYPES),
    ),
    Parameter(
        "image_reliability",
        OFFERED,
        "how the wrist camera is asked for: what its publisher offers; reliable, and one that is "
        "best effort is an error; or best effort: no image waits for one of which a packet is lost",
        choices=RELIABILITIES,
    ),
    Parameter("max_image_age_s", 0.3, "older frames are refused", unit="s", lower=0.01, upper=10.0),
    Parameter("max_image_px", 4096, "larger ones are refused", unit="px", lower=16, upper=16384),
    Parameter(
        "max_identical_frames",
        5,
        "the frame that is the n-th in a row with the same bytes counts as stale; after a silence "
        "of 3 s another row begins",
        lower=2,
        upper=1000,
    ),
    _grey("darkest", 6.0, "mean grey value below which a frame counts as black"),
    _grey("brightest", 249.0, "mean grey value above which a frame counts as white"),
    _grey("min_contrast", 4.0, "deviation of grey values below which a frame shows nothing"),
    Parameter(
        "min_sharpness",
        0.0,
        "variance of the Laplacian below which a frame counts as blurred; 0: all pass",
        lower=0.0,
        upper=1e5,
    ),
    Parameter(
        "mosaic_rate_hz",
        5.0,
        "most neighbour mosaics per second; 0: none",
        unit="Hz",
        lower=0.0,
        upper=60.0,
        run_time=True,
    ),
)
