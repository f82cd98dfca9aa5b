"""Named settings of a policy: `config/policy/NAME.yaml`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from vinn.encoders.local import LocalFeatures
from vinn.policies.augmentation import views_of
from vinn.policies.features import MAX_CONTEXT, MetricKind
from vinn.policies.grasp.point import GraspPointSettings
from vinn.policies.novelty import NoveltyMeasure
from vinn.policies.progress import ProgressSettings
from vinn.reading import config_file

PRESETS_DIR = Path(__file__).parent / "presets"
"""The project's `config/policy`, installed with the package."""


class PolicyPreset(BaseModel):
    """Settings of the nearest-neighbour policy; the defaults are the paper's.

    Everything below `project_to_unit` goes beyond the paper, and each is a switch of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=10, ge=1)
    bandwidth: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    bandwidth_share: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The bandwidth as a share of the median distance between a frame and its nearest one of
    another demonstration, instead of `bandwidth`."""
    project_to_unit: bool = False
    select: bool = False
    """Choose k and bandwidth by leaving one demonstration out, instead of the two above."""
    local: LocalFeatures | None = None
    """Compare a grid of local features, made from the given encoder, instead of its mean."""
    mirrored: bool = False
    """Remember every demonstration mirrored as well."""
    light_copies: int = Field(default=0, ge=0, le=20)
    """Remember every demonstration so many times more, each in other light."""
    context: int = Field(default=1, ge=1, le=MAX_CONTEXT)
    """Frames compared together."""
    metric: MetricKind = MetricKind.EUCLIDEAN
    metric_dimension: int = Field(default=64, ge=1, le=2048)
    """Of `metric`, where it is not euclidean."""
    progress: ProgressSettings | None = None
    """Prior over progress along a demonstration."""
    grasp_point: GraspPointSettings | None = None
    """Compare the way to where the gripper will close as well; needs a detector."""

    novelty: NoveltyMeasure = NoveltyMeasure.NEAREST
    """What novelty is measured by; it does not change actions."""

    @property
    def views(self) -> tuple[str, ...]:
        """Of each demonstration that are remembered."""
        return views_of(self.mirrored, self.light_copies)


def load_preset(name_or_path: str) -> PolicyPreset:
    """Read a preset by its name, or from a YAML file.

    Raises:
        ConfigError: no such preset or file, an unknown key, or a value out of range.
    """
    return config_file.load_preset(name_or_path, PolicyPreset, PRESETS_DIR)
