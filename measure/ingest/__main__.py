"""Film clips with known camera paths, ingest them, compare with the truth: docs/results/ingest.*

    python -m measure.ingest --work runs/ingest_results --jobs 2

Stages resume: clips and verdicts that exist in --work are not made again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import av
import cv2
import numpy as np
from vinn.evaluation.ingest_clips import FilmedEpisode, film_expert, film_gripper, write_clip
from vinn.evaluation.results import Results
from vinn.ingest.clip import ClipFolder
from vinn.ingest.decode import sample_frames
from vinn.ingest.gripper.classifier import confusion, train_classifier
from vinn.ingest.gripper.source import default_crop
from vinn.ingest.lenses.camera_profile import SHIPPED, load_profile
from vinn.ingest.lenses.linearize import Linearizer
from vinn.ingest.motion.sfm_settings import SfmSettings
from vinn.ingest.motion.steps import Assessment
from vinn.ingest.pipeline import IngestSettings, process_clip
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.scene import SceneConfig

PROFILE = SHIPPED / "sim_fisheye.yaml"
COMMAND = "python -m measure.ingest"
PER_STEP = 3
MOVES_M = 0.005
"""A true motion below this is a pause."""


EASY = DIFFICULTIES["easy"]
CLUTTERED = EASY.model_copy(update={"distractors": 6, "varied_background": True})


@dataclass(frozen=True)
class Clip:
    """One clip: what is filmed, and what is done to spoil it."""

    name: str
    cabinet: str
    seed: int
    cluttered: bool = False
    spoiled: str = ""

    @property
    def good(self) -> bool:
        """Nothing was done to spoil it."""
        return not self.spoiled


CLIPS = [
    *(
        Clip(f"{cabinet}-{'cluttered' if cluttered else 'plain'}-{seed}", cabinet, seed, cluttered)
        for seed in (1, 2)
        for cluttered in (True, False)
        for cabinet in CABINETS
    ),
    Clip("textureless", "oak", 3, spoiled="textureless"),
    Clip("textureless-unmasked", "white", 3, spoiled="textureless unmasked"),
    Clip("shaken", "walnut", 3, True, "shaken"),
    Clip("unmasked-plain", "white", 4, spoiled="unmasked"),
    Clip("gaps-stamped", "oak", 4, True, "gaps"),
    Clip("gaps-cut", "walnut", 4, True, "cut"),
]


def film(clip: Clip) -> FilmedEpisode:
    """The clip as it was before anything spoiled it."""
    scene = SceneConfig(
        cabinet=CABINETS[clip.cabinet], difficulty=CLUTTERED if clip.cluttered else EASY
    )
    return film_expert(scene, clip.seed, PER_STEP, textured="textureless" not in clip.spoiled)


def make(clip: Clip, folder: Path) -> None:
    """Write the clip's video and its truth, unless they are there."""
    truth = folder / f"{clip.name}.npz"
    if truth.exists():
        return
    filmed = film(clip)
    images = list(filmed.images_rgb)
    numbers = list(range(len(images)))
    rng = np.random.default_rng(clip.seed)
    if clip.spoiled == "shaken":
        images = [_smeared(image, rng) for image in images]
    if clip.spoiled in ("gaps", "cut"):
        missing = {7, 8, 9, 10, 28, 29}
        numbers = [n for n in numbers if n not in missing]
        images = [images[n] for n in numbers]
    stamps = numbers if clip.spoiled == "gaps" else None
    write_clip(folder / f"{clip.name}.mp4", images, PER_STEP, stamps)
    # Where time stamps are lost, the film's frames simply follow each other.
    rows = list(range(numbers[-1] + 1)) if stamps else numbers
    np.savez(
        truth,
        centre=filmed.world_centre_m[rows],
        axes=filmed.world_R_camera[rows],
        gripper=filmed.frame_gripper[rows],
    )


def _smeared(image, rng):
    """Motion blur of 13 to 25 pixels in a random direction."""
    length, angle = int(rng.integers(13, 26)), rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    ends = np.rint(np.array([middle - reach, middle + reach])).astype(int)
    cv2.line(kernel, tuple(map(int, ends[0])), tuple(map(int, ends[1])), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def ingest(clip: Clip, folder: Path) -> dict[str, object]:
    """Film and ingest one clip; its figures against the truth."""
    make(clip, folder)
    cv2.setNumThreads(1)
    settings = replace(IngestSettings(), mask="none" if "unmasked" in clip.spoiled else "profile")
    begin = time.monotonic()
    assessment = process_clip(
        folder / f"{clip.name}.mp4",
        load_profile(PROFILE),
        settings,
        ClipFolder(folder / "work" / clip.name),
    )
    seconds = time.monotonic() - begin
    found = against_truth(assessment, np.load(folder / f"{clip.name}.npz"))
    found |= {"name": clip.name, "good": clip.good, "spoiled": clip.spoiled, "seconds": seconds}
    found |= {"failure": assessment.failure, "figures": assessment.figures}
    return found


def against_truth(assessment: Assessment, truth) -> dict[str, object]:
    """Kept steps that are right, wrong, and the smallest cosine among them."""
    centre, axes = truth["centre"], truth["axes"]
    kept, cosines, all_cosines = 0, [], []
    for step in assessment.steps:
        begin, end = step.index * PER_STEP, (step.index + 1) * PER_STEP
        true = axes[begin].T @ (centre[end] - centre[begin])
        length = float(np.linalg.norm(true))
        if length < MOVES_M:
            cosine = 0.0 if step.moves else 1.0
        else:
            cosine = float(np.dot(step.camera_delta, true) / length)
        all_cosines.append(cosine)
        if step.kept:
            kept += 1
            cosines.append(cosine)
    accepted = assessment.failure is None
    return {
        "steps": len(assessment.steps),
        "kept": kept if accepted else 0,
        "cosines": cosines if accepted else [],
        "before_gate": all_cosines,
        "reasons": [step.reason.value for step in assessment.steps],
    }


def gripper_rows(results: Results) -> None:
    """Train the gripper classifier on 200 labels and test it on clips it has not seen."""
    crop = default_crop(load_profile(PROFILE))

    def clips(seeds: range) -> list:
        return [
            film_gripper(
                SceneConfig(cabinet=CABINETS[list(CABINETS)[seed % 3]], difficulty=CLUTTERED),
                seed,
                25,
            )
            for seed in seeds
        ]

    classifier = train_classifier(clips(range(8)), crop)
    single = smoothed = np.zeros((4, 4), np.int64)
    for images, states in clips(range(100, 112)):
        single = single + confusion(states, classifier.probabilities(images).argmax(1).tolist())
        smoothed = smoothed + confusion(states, classifier.smoothed(images).tolist())
    results.add("gripper classifier: training labels", 200, "frames", "<= 200")
    results.add("gripper classifier: held-out frames", int(smoothed.sum()), "frames")
    results.add("gripper classifier: right, each frame alone", _percent(single), "%")
    results.add("gripper classifier: right, smoothed", _percent(smoothed), "%", ">= 95")
    results.add("gripper classifier: confusion, truth in rows", str(smoothed.tolist()))


def timing_rows(results: Results, folder: Path) -> None:
    """Ten steps of a 640x480 clip from the video file to the verdict, on two threads."""
    clip = CLIPS[0]
    folder.mkdir(parents=True, exist_ok=True)
    make(clip, folder)
    settings = replace(IngestSettings(), end_s=10.2, sfm=SfmSettings(threads=2))
    work = folder / "timing"
    shutil.rmtree(work, ignore_errors=True)
    wall, cpu = time.monotonic(), time.process_time()
    assessment = process_clip(
        folder / f"{clip.name}.mp4", load_profile(PROFILE), settings, ClipFolder(work / clip.name)
    )
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    frames = f"{assessment.figures['frames']:.0f} frames, both mappers"
    results.add(f"{frames}: wall time", round(wall, 1), "s", "<= 90")
    results.add(f"{frames}: processor time", round(cpu, 1), "s")


HOUR_FPS = 1


def memory_rows(results: Results, folder: Path) -> None:
    """Read every sample of an hour, and of a minute: what the longer one costs in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    peaks = {}
    for name, minutes in (("minute", 1), ("hour", 60)):
        video = folder / f"{name}.mp4"
        _repeated_minute(video, minutes)
        # A process of its own each: its peak is the kernel's figure.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            frames, peaks[name] = pool.submit(_read_all, video).result()
        video.unlink()
    results.add("hour-long video of 640x480: frames read", frames, "frames")
    results.add("hour-long video: peak memory of reading it", round(peaks["hour"]), "MiB")
    more = round(peaks["hour"] - peaks["minute"], 1)
    results.add("hour-long video: peak memory above a minute's", more, "MiB", "<= 50")


def _repeated_minute(path: Path, minutes: int) -> None:
    """A minute of 640x480 noise, coded once and repeated."""
    rng = np.random.default_rng(0)
    count = 60 * HOUR_FPS
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=HOUR_FPS)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "0", "g": "20"}
        images = (
            cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (640, 480))
            for _ in range(count)
        )
        frames = (av.VideoFrame.from_ndarray(image, format="rgb24") for image in images)
        packets = [packet for frame in frames for packet in stream.encode(frame)]
        packets += stream.encode()
        ticks = round(count / HOUR_FPS / packets[0].time_base)
        for repeat in range(minutes):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.stream, copy.time_base = stream, packet.time_base
                copy.is_keyframe = packet.is_keyframe
                copy.pts = packet.pts + repeat * ticks
                copy.dts = packet.dts + repeat * ticks
                container.mux(copy)


def _read_all(video: Path) -> tuple[int, float]:
    """Samples at the default rate, linearised; their number and the process's peak [MiB]."""
    profile = load_profile(PROFILE)
    linearize = Linearizer(profile.lens, profile.output_lens)
    count = sum(linearize(f.image_rgb).shape[0] > 0 for f in sample_frames(video, 1.0 * PER_STEP))
    # Not getrusage: its peak begins with that of the process that started this one.
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return count, int(line.split()[1]) / 1024


def _percent(matrix) -> float:
    return round(100 * float(np.trace(matrix)) / float(matrix.sum()), 1)


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/ingest_results"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("clips", "gripper", "timing", "memory"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    if given.only in (None, "clips"):
        measure_clips(given)
    measured = Results("ingest", COMMAND)
    if given.only in (None, "gripper"):
        gripper_rows(measured)
    if given.only in (None, "timing"):
        timing_rows(measured, given.work)
    if given.only in (None, "memory"):
        memory_rows(measured, given.work)
    # Read only now: measurements take long, and others may have added theirs.
    results = Results.continued(given.out, "ingest", COMMAND)
    for row in measured.rows:
        results.add(row.name, row.value, row.unit, row.goal)
    results.write(given.out)


def measure_clips(given: argparse.Namespace) -> None:
    """Film and ingest all clips, and add what came out to the results."""
    given.work.mkdir(parents=True, exist_ok=True)
    rows = []
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(ingest, clip, given.work) for clip in CLIPS]:
            row = future.result()
            rows.append(row)
            low = min(row["cosines"], default=float("nan"))
            print(
                f"{row['name']:24s} kept {row['kept']:2d}/{row['steps']:2d}  min cosine {low:6.3f}"
                f"  {row['seconds']:5.0f} s  {row['failure'] or ''}",
                flush=True,
            )
    write_results(rows, given.out)


def write_results(rows: list[dict], out: Path) -> None:
    """Figures and goals of the ingest issue, kept beside what other measurements added."""
    results = Results.continued(out, "ingest", COMMAND)
    good, bad = [r for r in rows if r["good"]], [r for r in rows if not r["good"]]
    kept = [c for r in good for c in r["cosines"]]
    results.add("good clips", len(good), "clips", ">= 12")
    results.add("good clips: steps kept", _share(good), "%", ">= 90")
    results.add("good clips: smallest cosine of a kept step", round(min(kept), 4), "", ">= 0.97")
    results.add("good clips: median cosine of a kept step", round(float(np.median(kept)), 4))
    before = [c for r in good for c in r["before_gate"]]
    results.add(
        "good clips: steps below 0.9 before the gate", sum(c < 0.9 for c in before), "steps"
    )
    spoiled = [c for r in bad for c in r["cosines"]]
    results.add(
        "spoiled clips: kept steps below 0.9", sum(c < 0.9 for c in spoiled), "steps", "== 0"
    )
    before = [c for r in bad for c in r["before_gate"]]
    results.add(
        "spoiled clips: steps below 0.9 before the gate", sum(c < 0.9 for c in before), "steps"
    )
    for row in rows:
        low = f", smallest cosine {min(row['cosines']):.3f}" if row["cosines"] else ""
        verdict = "rejected" if row["failure"] else "accepted"
        text = f"{verdict}, kept {row['kept']} of {row['steps']}{low}"
        results.add(f"clip {row['name']}", text)
    results.write(out)


def _share(rows: list[dict]) -> float:
    return round(100 * sum(r["kept"] for r in rows) / sum(r["steps"] for r in rows), 1)


if __name__ == "__main__":
    main()
