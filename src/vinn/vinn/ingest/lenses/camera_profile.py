"""Camera profiles: which lens filmed, and what its frames become.

Those of `vinn/ingest/lenses/cameras` come with the package; yours are files, or stand in
`config/cameras`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vinn.errors import ConfigError
from vinn.ingest.lenses.intrinsics import read_intrinsics
from vinn.ingest.lenses.lens import Lens
from vinn.reading.config_file import read_mapping, validated

SHIPPED = Path(__file__).parent / "cameras"
_ASPECT_TOLERANCE = 0.01
Fraction = Annotated[float, Field(ge=-0.01, le=1.01)]


class OutputFrames(BaseModel):
    """Frames made from what the lens saw.

    `linear` warps to a pinhole; `raw` keeps the lens and tells structure from motion its model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projection: Literal["linear", "raw"] = "linear"
    width_px: int = Field(default=640, ge=64, le=4096)
    height_px: int = Field(default=480, ge=64, le=4096)
    horizontal_fov_deg: float = Field(default=90.0, gt=10, lt=150)
    """Of linear frames; raw frames keep what the lens sees."""


class CameraProfile(BaseModel):
    """A calibrated camera as mounted: its lens, its output frames, and where its gripper is seen.

    `gripper_mask` is a list of polygons in fractions of the output frame's width and height,
    (0, 0) at the top left: what moves with the camera and must not be reconstructed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    lens: Lens
    output: OutputFrames = OutputFrames()
    stored: OutputFrames | None = None
    """The frames that demonstrations store, where they are not the output frames: say, the narrower
    view of the robot's own camera."""
    gripper_mask: tuple[tuple[tuple[Fraction, Fraction], ...], ...] | None = None
    refine_intrinsics: bool = False
    """Let bundle adjustment correct focal length and distortion (for a nominal calibration)."""

    @property
    def output_lens(self) -> Lens:
        """The lens of the output frames."""
        return self._lens_of(self.output)

    @property
    def stored_lens(self) -> Lens:
        """The lens of the frames that demonstrations store."""
        return self._lens_of(self.stored or self.output)

    def _lens_of(self, frames: OutputFrames) -> Lens:
        if frames.projection == "raw":
            return self.lens.scaled_to(frames.width_px, frames.height_px)
        return Lens.pinhole(frames.width_px, frames.height_px, frames.horizontal_fov_deg)

    def lens_for(self, width_px: int, height_px: int, what: str) -> Lens:
        """The lens for a video of this size: the profile's own, or the same resized.

        Raises:
            ConfigError: the aspect ratio differs, so another lens or mode filmed `what`.
        """
        aspect = width_px / height_px
        own = self.lens.width_px / self.lens.height_px
        if abs(aspect / own - 1) > _ASPECT_TOLERANCE:
            raise ConfigError(
                f"{what}: frames are {width_px}x{height_px}, but camera profile '{self.name}' is "
                f"for {self.lens.width_px}x{self.lens.height_px} (another aspect ratio)"
            )
        return self.lens.scaled_to(width_px, height_px)

    def mask(self) -> NDArray[np.bool_] | None:
        """(height, width) of the output frames, True on the gripper; None if the profile has no
        polygons.
        """
        if self.gripper_mask is None:
            return None
        size = np.array([self.output.width_px - 1, self.output.height_px - 1])
        mask = np.zeros((self.output.height_px, self.output.width_px), np.uint8)
        for polygon in self.gripper_mask:
            points = np.rint(np.array(polygon) * size).astype(np.int32)
            cv2.fillPoly(mask, [points.reshape(-1, 1, 2)], 255)
        return mask > 0


def load_profile(path: Path) -> CameraProfile:
    """Read a camera profile, or a lens alone as `vinn camera calibrate` and UMI write it (JSON).

    A profile's `lens` may be the name of such a file beside it.

    Raises:
        ConfigError: missing, malformed, or a setting is unknown or out of range (named).
    """
    if Path(path).suffix == ".json":
        name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(path).stem).lstrip("._-") or "camera"
        return CameraProfile(name=name, lens=read_intrinsics(Path(path)))
    content = read_mapping(path)
    if isinstance(content.get("lens"), str):
        content["lens"] = read_intrinsics(Path(path).parent / content["lens"])
    return validated(CameraProfile, content, str(path))


def find_profile(name_or_path: str, folders: tuple[Path, ...]) -> CameraProfile:
    """A profile by file path, or by name from `folders`, then of those with the package.

    Raises:
        ConfigError: neither a file nor a known name; the names that exist are listed, and how to
            make one.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml", ".json") or path.exists():
        return load_profile(path)
    folders = (*folders, SHIPPED)
    for folder in folders:
        for suffix in (".yaml", ".json"):
            candidate = folder / f"{name_or_path}{suffix}"
            if candidate.is_file():
                return load_profile(candidate)
    files = (file for folder in folders for file in folder.glob("*") if file.is_file())
    known = sorted({file.stem for file in files if file.suffix in (".yaml", ".json")})
    raise ConfigError(
        f"camera profile '{name_or_path}': no such file or name; known: {', '.join(known)}; make "
        f"one of a film of a printed board: vinn camera calibrate FILM --out {name_or_path}.json"
    )
