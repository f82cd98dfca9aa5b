"""Settings of the reconstruction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SfmSettings:
    """Settings of the reconstruction.

    Attributes:
        max_features: SIFT features per frame.
        peak_threshold: contrast that makes a feature; below SIFT's own default, because cabinets
            are plain.
        gaps: each frame is matched with those this many frames on, and each step's first frame
            with its last. Over long gaps what moves by itself parts from the room, and drift cannot
            build up.
        still_fraction: a step whose picture moves less than this share of the clip's typical step
            is a pause.
        threads: of every stage.
        min_triangulation_angle_deg: for the incremental mapper's first pair. A hand's steps are
            short against the distance of the scene, so pycolmap's 16 degrees finds no pair.
        initial_gap: the first pair is this many frames apart, at least.
        tracks_per_view: for the global mapper's first positions of cameras; None takes all. With
            400 it takes a fifth of its time, with the same directions where it was tried (one clip
            of four steps); the gate's figures in docs/results/ingest.md were measured with all.
        max_error_px: how far from a pose's epipolar line or projection a feature may lie, in both
            mappers. pycolmap's own limits (4 to 15 px, or a degree) hold for photographs of
            buildings; a door that begins to move stays within them and bends the path.
        refine_intrinsics: let bundle adjustment change focal length and distortion. The error may
            then be 4 px, since the lens is not known that well.
    """

    max_features: int = 3000
    peak_threshold: float = 0.004
    gaps: tuple[int, ...] = (1, 2, 3, 4, 8, 16)
    still_fraction: float = 0.12
    threads: int = 1
    min_triangulation_angle_deg: float = 7.0
    initial_gap: int = 8
    tracks_per_view: int | None = None
    max_error_px: float = 1.5
    refine_intrinsics: bool = False

    @property
    def mapper_error_px(self) -> float:
        """`max_error_px`, or more where the lens is to be refined."""
        return max(self.max_error_px, 4.0) if self.refine_intrinsics else self.max_error_px
