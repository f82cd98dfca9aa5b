"""A clip's stages: sample and linearise, reconstruct, judge, write the demonstration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import sha256_file
from vinn.demos.store import write_demonstration
from vinn.demos.types import (
    ActionScale,
    CameraInfo,
    DemonstrationMeta,
    GripperState,
    new_meta,
)
from vinn.errors import CameraError, ConfigError, DatasetError
from vinn.ingest.clip import ClipFolder, Evidence
from vinn.ingest.decode import SampledFrame, probe_video, sample_frames
from vinn.ingest.film import TOOL, Film
from vinn.ingest.gripper.mask import read_mask, still_mask
from vinn.ingest.lenses.camera_profile import CameraProfile
from vinn.ingest.lenses.lens import Lens
from vinn.ingest.lenses.linearize import Linearizer
from vinn.ingest.motion.consistency import consistent_share
from vinn.ingest.motion.sfm import reconstruct
from vinn.ingest.motion.sfm_settings import SfmSettings
from vinn.ingest.motion.steps import (
    Assessment,
    GateSettings,
    StepReason,
    assess,
    step_rows,
)
from vinn.ingest.sharpness import sharpness
from vinn.reading.documents import read_json
from vinn.reading.regular import parsing

AUTO_MASK_FRAMES = 24
Progress = Callable[[str, float], None]
"""Called with the stage's name and how much of it is done, 0..1."""


@dataclass(frozen=True)
class IngestSettings:
    """How clips become demonstrations.

    Attributes:
        action_rate_hz: actions per second of video.
        frames_per_step: frames reconstructed per action; 3 is much safer than 1.
        mask: "profile" (the camera profile's polygons), "auto" (what stays still in the clip),
            "none" (nothing: only for cameras that do not see their gripper), or an image file.
        max_clip_s: a longer video is refused: one clip is one demonstration.
        start_s: where the clip begins.
        end_s: where it ends.
        sfm: of the reconstruction.
        gate: of the verdicts.
    """

    action_rate_hz: float = 1.0
    frames_per_step: int = 3
    mask: str = "profile"
    max_clip_s: float = 180.0
    start_s: float = 0.0
    end_s: float = float("inf")
    sfm: SfmSettings = field(default_factory=SfmSettings)
    gate: GateSettings = field(default_factory=GateSettings)

    def __post_init__(self) -> None:
        if not 0.05 <= self.action_rate_hz <= 30:
            raise ConfigError(f"action rate = {self.action_rate_hz:g} Hz; allowed: 0.05 to 30")
        if not 1 <= self.frames_per_step <= 10:
            raise ConfigError(f"frames per step = {self.frames_per_step}; allowed: 1 to 10")
        if not 0 <= self.start_s < self.end_s:
            raise ConfigError(
                f"start = {self.start_s:g} s, end = {self.end_s:g} s; the start must be 0 or more "
                "and before the end"
            )


def process_clip(
    video: Path,
    profile: CameraProfile,
    settings: IngestSettings,
    clip: ClipFolder,
    on_progress: Progress | None = None,
) -> Assessment:
    """Run the stages of a clip that are not done yet and return its verdict.

    Raises:
        CameraError: the video cannot be read.
        ConfigError: the profile, the mask or the settings do not fit.
        DatasetError: the work folder cannot be written.
    """
    tell = on_progress or (lambda stage, share: None)
    info = probe_video(video)
    lens = profile.lens_for(info.width_px, info.height_px, str(video))
    length_s = min(info.duration_s, settings.end_s) - settings.start_s
    if length_s > settings.max_clip_s:
        raise ConfigError(
            f"{video}: {length_s:.0f} s long; one clip is one demonstration of at most "
            f"{settings.max_clip_s:g} s (cut it with --start and --end)"
        )
    try:
        clip.start(_key(video, profile, settings))
        if clip.frames is None:
            clip.write_frames(_sampled(video, lens, profile, settings, length_s, tell))
        assessment = _assessed(clip, profile, settings, tell)
        clip.write_assessment(assessment)
    except OSError as cause:
        raise DatasetError(f"{clip.path}: cannot be written: {cause.strerror}") from cause
    tell("done", 1.0)
    return assessment


def write_clip(clip: ClipFolder, dataset_root: Path, task: str) -> Path | None:
    """Write an accepted clip as a demonstration, in place of an earlier one of the same clip.

    A step goes in with the gripper state seen at its end. Steps in which neither camera nor gripper
    moved are left out; they would teach a policy to wait. A clip that was accepted once and is
    rejected now, with another mask say, leaves the dataset.

    Returns:
        The demonstration's folder; None if the clip was rejected or no step is left.

    Raises:
        DatasetError: the clip is not assessed yet, the dataset cannot be written, or holds a
            demonstration of that name that is not from `vinn ingest`.
    """
    assessment, key = clip.assessment, clip.key
    if assessment is None:
        raise DatasetError(f"{clip.path}: not assessed yet; run 'vinn ingest' again")
    target = Path(dataset_root) / clip.name
    film = Film.of_key(key)
    _check_replaceable(target, film, str(key.get("video")))
    if assessment.failure is not None:
        shutil.rmtree(target, ignore_errors=True)
        return None
    with parsing(clip.path / "key.json", DatasetError, "what a clip was made from"):
        settings = key["settings"]
        per_step, rate_hz = int(settings["frames_per_step"]), float(settings["action_rate_hz"])
        camera, stored = str(key["profile"]["name"]), Lens.model_validate(key["stored_lens"])
        of_video = {name: str(key[name]) for name in ("video", "video_sha256")}
    states = clip.gripper_states
    slots, deltas, gripper, dropped = [], [], [], []
    for step in assessment.steps:
        begin, end = step.index * per_step, (step.index + 1) * per_step
        now, then = states.get(begin, GripperState.OPEN), states.get(end, GripperState.OPEN)
        if step.kept and (step.moves or now != then):
            slots.append(begin)
            deltas.append(step.camera_delta)
            gripper.append(int(then))
        else:
            reason = StepReason.IDLE if step.kept else step.reason
            dropped.append({"step": step.index, "reason": reason.value})
    if not slots:
        shutil.rmtree(target, ignore_errors=True)
        return None
    first = clip.stored_frame(slots[0])
    meta = new_meta(
        name=clip.name,
        task=task,
        camera=CameraInfo(
            name=camera,
            width_px=first.shape[1],
            height_px=first.shape[0],
            fx_px=stored.fx_px,
            fy_px=stored.fy_px,
            cx_px=stored.cx_px,
            cy_px=stored.cy_px,
        ),
        frame_rate_hz=rate_hz,
        action_scale=ActionScale.UNIT,
        provenance={
            "tool": TOOL,
            **of_video,
            "range_s": None if film is None else film.range_s,
            "gripper": clip.gripper_source or "unlabelled",
            "steps": [slot // per_step for slot in slots],
            "dropped": dropped,
            "figures": {k: v for k, v in assessment.figures.items() if np.isfinite(v)},
        },
    )
    return _replace_demonstration(clip, target, meta, slots, deltas, gripper)


def _check_replaceable(target: Path, film: Film | None, video: str) -> None:
    """Refuse to replace or remove what `write_clip` did not write, or wrote of another film."""
    if not target.exists():
        return
    try:
        provenance = read_json(target / "meta.json", DatasetError)["provenance"]
        own = provenance["tool"] == TOOL
        same = provenance.get("video_sha256") == (film and film.sha256)
        there = Film.of_provenance(provenance)
    except (DatasetError, KeyError, TypeError, AttributeError):
        own = False
    if not own:
        raise DatasetError(
            f"{target}: exists and is not from 'vinn ingest'; rename the video or choose another "
            "--out"
        )
    if not same or (there is not None and there != film):
        raise DatasetError(
            f"{target}: is of another film, {provenance.get('video')} (sha256 "
            f"{str(provenance.get('video_sha256'))[:12]}), not of {video} (sha256 "
            f"{film.sha256[:12] if film else 'unknown'}); write it to another dataset"
        )


def _replace_demonstration(
    clip: ClipFolder,
    target: Path,
    meta: DemonstrationMeta,
    slots: list[int],
    deltas: list[tuple[float, float, float]],
    gripper: list[int],
) -> Path:
    fresh = clip.path / "demonstration"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        written = write_demonstration(
            fresh,
            meta,
            (clip.stored_frame(slot) for slot in slots),
            np.array(deltas),
            np.array(gripper),
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        written.rename(target)
        shutil.rmtree(fresh)
    except OSError as cause:
        shutil.rmtree(fresh, ignore_errors=True)
        raise DatasetError(f"{target}: cannot be written: {cause.strerror}") from cause
    return target


def _key(video: Path, profile: CameraProfile, settings: IngestSettings) -> dict[str, Any]:
    plain = asdict(settings)
    if plain["end_s"] == float("inf"):
        plain["end_s"] = None
    # The number of threads changes the time and not the result.
    plain["sfm"].pop("threads")
    # Verdicts are made anew each time, from what was reconstructed.
    plain.pop("gate")
    key: dict[str, Any] = {
        "video": video.name,
        "video_sha256": sha256_file(video, CameraError),
        "profile": profile.model_dump(mode="json"),
        "stored_lens": profile.stored_lens.model_dump(mode="json"),
        "settings": plain,
    }
    # As it will be read back: JSON knows no tuples.
    as_read: dict[str, Any] = json.loads(json.dumps(key))
    return as_read


def _sampled(
    video: Path,
    lens: Lens,
    profile: CameraProfile,
    settings: IngestSettings,
    length_s: float,
    tell: Progress,
) -> Iterator[tuple[SampledFrame, NDArray[np.uint8] | None, float]]:
    to_output = Linearizer(lens, profile.output_lens)
    to_stored = Linearizer(lens, profile.stored_lens) if profile.stored is not None else None
    hidden = ~to_output.visible
    mask = profile.mask()
    if mask is not None:
        hidden = hidden | mask
    rate_hz = settings.action_rate_hz * settings.frames_per_step
    for frame in sample_frames(video, rate_hz, settings.start_s, settings.end_s):
        if frame.time_s - settings.start_s > settings.max_clip_s:
            raise ConfigError(f"{video}: longer than {settings.max_clip_s:g} s")
        image = to_output(frame.image_rgb)
        wanted = to_stored is not None and frame.slot % settings.frames_per_step == 0
        stored = to_stored(frame.image_rgb) if wanted and to_stored is not None else None
        tell("frames", min(1.0, (frame.time_s - settings.start_s) / max(length_s, 1e-6)))
        yield SampledFrame(frame.slot, frame.time_s, image), stored, sharpness(image, hidden)


def _assessed(
    clip: ClipFolder, profile: CameraProfile, settings: IngestSettings, tell: Progress
) -> Assessment:
    slots = clip.slots
    if not step_rows(slots, settings.frames_per_step):
        return Assessment((), f"{len(slots)} frames without a gap are not one step", {})
    evidence = clip.evidence
    if evidence is None:
        evidence = _reconstructed(clip, profile, settings, tell)
        clip.write_evidence(evidence)
    return assess(
        slots,
        settings.frames_per_step,
        [row["sharpness"] for row in clip.frames or []],
        evidence.reconstruction,
        evidence.consistent,
        settings.gate,
    )


def _reconstructed(
    clip: ClipFolder, profile: CameraProfile, settings: IngestSettings, tell: Progress
) -> Evidence:
    slots = clip.slots
    steps = step_rows(slots, settings.frames_per_step)
    mask = ~Linearizer(profile.lens, profile.output_lens).visible
    gripper = _gripper_mask(clip, profile, settings)
    if gripper is not None:
        mask = mask | gripper
    work = clip.path / "sfm"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    sfm = SfmSettings(**{**asdict(settings.sfm), "refine_intrinsics": profile.refine_intrinsics})
    names = [f"{slot:06d}.jpg" for slot in slots]
    try:
        found = reconstruct(
            clip.frames_dir, names, profile.output_lens, mask, list(steps.values()), work, sfm, tell
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    # The worse of the two: each mapper must explain the picture.
    consistent = np.array(
        [
            min(
                consistent_share(rays, mapping, profile.output_lens, *ends)
                for mapping in (found.incremental, found.global_)
            )
            for rays, ends in zip(found.step_matches, steps.values(), strict=True)
        ]
    )
    return Evidence(found, consistent)


def _gripper_mask(
    clip: ClipFolder, profile: CameraProfile, settings: IngestSettings
) -> NDArray[np.bool_] | None:
    if settings.mask == "none":
        return None
    if settings.mask == "profile":
        mask = profile.mask()
        if mask is None:
            raise ConfigError(
                f"camera profile '{profile.name}' has no gripper_mask: add one, or say --mask "
                "auto, --mask FILE, or --mask none for a camera that does not see its gripper"
            )
        return mask
    if settings.mask == "auto":
        slots = clip.slots
        chosen = np.unique(np.linspace(0, len(slots) - 1, AUTO_MASK_FRAMES).round().astype(int))
        return still_mask([clip.frame(slots[i]) for i in chosen])
    return read_mask(Path(settings.mask), profile.output_lens)
