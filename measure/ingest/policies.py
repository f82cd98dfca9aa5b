"""Does a policy of ingested clips open the door as well as one of the simulator's own actions?

    python -m measure.ingest.policies --encoder ENCODER --work runs/ingest_policy --jobs 2

All policies come from the same episodes of the expert, those whose films the gate accepts: one from
the recording that the simulator makes, one from the films (true gripper states, as a person would
label them), and, to tell the errors of the films from the loss of lengths, one from the recording
with every action at length one, as the films give them. Adds its rows to docs/results/ingest.* Run
again to resume: films and what was reconstructed are kept.

    python -m measure.ingest.policies --encoder ENCODER --preset grasp-point --trials 60

does the same with policies of a preset, each with a detector of its own where the preset has one. A
step of length one is then taken to be `UNIT_STEP_M` long, in training and in the trials.
"""

from __future__ import annotations

import argparse
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import numpy as np
from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale, DemonstrationMeta, GripperState
from vinn.encoders.encoder import load_encoder
from vinn.evaluation.ingest_clips import film_expert, write_clip
from vinn.evaluation.results import Results
from vinn.evaluation.statistics import SuccessRate, paired_difference, wilson_interval
from vinn.evaluation.trials import StopAt, TrialResult, run_trials
from vinn.ingest.clip import ClipFolder
from vinn.ingest.lenses.camera_profile import SHIPPED, load_profile
from vinn.ingest.pipeline import IngestSettings, process_clip
from vinn.ingest.pipeline import write_clip as write_ingested
from vinn.paper.grasp.detectors import UNIT_STEP_M, robot_of_actions, train_detector
from vinn.policies.artefact import load_policy
from vinn.policies.artefacts.build_preset import build_from_preset
from vinn.policies.artefacts.embedding import embed_dataset
from vinn.policies.artefacts.selection import select_k_and_bandwidth
from vinn.policies.build import build_policy
from vinn.policies.memory import ActionMemory
from vinn.policies.preset import load_preset
from vinn.robot.config import MotionConfig
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.episode import robot_config
from vinn.sim.recording import camera_info
from vinn.sim.scene import SceneConfig

PROFILE = SHIPPED / "sim_fisheye.yaml"
EASY = DIFFICULTIES["easy"]
PER_STEP = 3
FIRST_SEED = 500
COMMAND = "python -m measure.ingest.policies --encoder ENCODER"
STANDING_M = 0.003
"""A motion below this is a pause, which has no direction."""
PARTS = ("own", "directions", "ingested")
NAMES = {
    "own": "policy of the simulator's actions",
    "directions": "policy of the simulator's actions at length one",
    "ingested": "policy of ingested clips",
}
STEPS_M = (0.016, 0.019, 0.022, 0.025, 0.028)
"""c of unit actions to choose from, on trials of their own; the expert's mean step is 0.026."""
TEST_SEED, VALIDATION_SEED = 0, 1
"""Of trials."""
VALIDATION_TRIALS = 60
"""On each cabinet, for each c."""


def demonstrate(cabinet: str, seed: int, work: Path) -> bool:
    """Film one episode, store the simulator's own demonstration, ingest the film.

    What is done already is not done again. Returns whether the gate accepted the film.
    """
    cv2.setNumThreads(1)
    name = f"{cabinet}-{seed}"
    video, truth = (work / "films" / f"{name}.{suffix}" for suffix in ("mp4", "npz"))
    if not truth.exists():
        _film(SceneConfig(cabinet=CABINETS[cabinet], difficulty=EASY), seed, name, work)
    clip = ClipFolder(work / "ingest" / name)
    process_clip(video, load_profile(PROFILE), IngestSettings(), clip)
    shown = np.load(truth)["gripper"]
    clip.write_gripper("truth", {slot: GripperState(int(shown[slot])) for slot in clip.slots})
    return write_ingested(clip, work / "ingested", "door_opening") is not None


def _film(scene: SceneConfig, seed: int, name: str, work: Path) -> None:
    """Write the film, what the simulator records of the episode, and last the truth."""
    films = work / "films"
    films.mkdir(parents=True, exist_ok=True)
    filmed = film_expert(scene, seed, PER_STEP)
    write_clip(films / f"{name}.mp4", filmed.images_rgb, PER_STEP)
    episode = filmed.episode
    meta = DemonstrationMeta(
        name=name,
        task="door_opening",
        camera=camera_info(scene.camera),
        action_scale=ActionScale.METRIC,
    )
    shutil.rmtree(work / "own" / name, ignore_errors=True)
    write_demonstration(
        work / "own", meta, episode.frames_rgb, episode.camera_delta_m, episode.gripper
    )
    np.savez(
        films / f"{name}.npz",
        centre=filmed.world_centre_m,
        axes=filmed.world_R_camera,
        gripper=filmed.frame_gripper,
    )


def keep_directions(own: Dataset, root: Path) -> None:
    """Write the demonstrations again with their actions at length one; pauses stay pauses."""
    shutil.rmtree(root, ignore_errors=True)
    for demonstration in own.demonstrations:
        delta = demonstration.camera_delta.astype(np.float64)
        length_m = np.linalg.norm(delta, axis=1, keepdims=True)
        delta = np.divide(delta, length_m, out=np.zeros_like(delta), where=length_m > STANDING_M)
        meta = demonstration.meta.model_copy(update={"action_scale": ActionScale.UNIT})
        frames = [read_frame(path) for path in demonstration.frame_paths]
        write_demonstration(root, meta, frames, delta, demonstration.gripper)


def build(part: str, accepted: list[str], given: argparse.Namespace) -> None:
    """Build the policy of a dataset; k and bandwidth by leaving each demonstration out once."""
    cv2.setNumThreads(1)
    policy = given.work / f"policy-{part}"
    shutil.rmtree(policy, ignore_errors=True)
    dataset = Dataset.open(given.work / part).only(*accepted)
    embedded, memory = embed_dataset(dataset, load_encoder(given.encoder)), ActionMemory.of(dataset)
    chosen = select_k_and_bandwidth(
        embedded.embeddings, memory.camera_delta, memory.demonstration_ids, gripper=memory.gripper
    )
    print(f"{part}: k {chosen.k}, bandwidth {chosen.bandwidth:.3g}", flush=True)
    build_policy(dataset, given.encoder, policy, chosen.k, chosen.bandwidth, embedded=embedded)


def build_preset(part: str, accepted: list[str], given: argparse.Namespace) -> None:
    """Build the policy of a dataset as the preset says."""
    cv2.setNumThreads(1)
    policy = given.work / f"policy-{given.preset}-{part}"
    if policy.exists():
        return
    dataset = Dataset.open(given.work / part).only(*accepted)
    robot = robot_of_actions(dataset.action_scale)

    def train(dataset: Dataset, encoder_dir: Path, out_dir: Path) -> Path:
        return train_detector(dataset, encoder_dir, out_dir, robot, seed=0)

    build_from_preset(
        dataset, given.encoder, policy, load_preset(given.preset), train_detector=train
    )
    print(f"{part}: built", flush=True)


def tried(part: str, given: argparse.Namespace) -> list[tuple[bool, bool]]:
    """Try a preset's policy on the cabinets it was shown: opened, and at the first attempt."""
    cv2.setNumThreads(1)
    policy = load_policy(given.work / f"policy-{given.preset}-{part}")
    found: list[tuple[bool, bool]] = []

    def on_trial(result: TrialResult) -> None:
        found.append((result.opened, bool(result.first_attempt)))
        print(f"{part}: {sum(opened for opened, _ in found)} of {len(found)}", flush=True)

    run_trials(
        policy,
        [SceneConfig(cabinet=CABINETS[c], difficulty=EASY) for c in given.cabinets],
        given.trials,
        seed=TEST_SEED,
        robot=robot_of_actions(policy.action_scale),
        stop_at=StopAt.OPENED,
        on_trial=on_trial,
    )
    return found


def opened(
    part: str, step_m: float | None, seed: int, trials: int, given: argparse.Namespace
) -> int:
    """Try a policy on the cabinets it was shown; doors opened.

    Args:
        part: whose policy.
        step_m: c of its unit actions; None: they are metres.
        seed: of the trials.
        trials: on each cabinet.
        given: cabinets, and where the policies are.
    """
    cv2.setNumThreads(1)
    robot = robot_config(SceneConfig())
    if step_m is not None:
        motion = MotionConfig(action_scale=ActionScale.UNIT, scale=(step_m,) * 3)
        robot = robot.model_copy(update={"motion": motion})
    results = run_trials(
        load_policy(given.work / f"policy-{part}"),
        [SceneConfig(cabinet=CABINETS[c], difficulty=EASY) for c in given.cabinets],
        trials,
        seed=seed,
        robot=robot,
        stop_at=StopAt.OPENED,
    )
    count = sum(result.opened for result in results)
    scale = "metres" if step_m is None else f"c {step_m:g} m"
    print(f"{part}, {scale}, seed {seed}: {count} of {len(results)}", flush=True)
    return count


def main() -> None:
    """Film, ingest, build, try."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", type=Path, required=True, help="exported encoder")
    parser.add_argument("--work", type=Path, default=Path("runs/ingest_policy"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--demonstrations", type=int, default=8, help="per cabinet")
    parser.add_argument("--trials", type=int, default=10, help="per cabinet")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cabinets", default=",".join(CABINETS), help="names with commas")
    parser.add_argument("--preset", help="build policies of this preset instead of the paper's")
    parser.add_argument("--films-only", action="store_true", help="no trials yet")
    given = parser.parse_args()
    given.cabinets = given.cabinets.split(",")
    pairs = [(c, FIRST_SEED + i) for i in range(given.demonstrations) for c in given.cabinets]
    accepted = []
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(demonstrate, *pair, given.work) for pair in pairs]
        for (cabinet, seed), future in zip(pairs, futures, strict=True):
            if future.result():
                accepted.append(f"{cabinet}-{seed}")
            print(cabinet, seed, "accepted" if future.result() else "rejected", flush=True)
    if given.films_only:
        return
    keep_directions(Dataset.open(given.work / "own").only(*accepted), given.work / "directions")
    if given.preset is None:
        compare(given, accepted, len(pairs))
    else:
        compare_preset(given, accepted, len(pairs))


def compare(given: argparse.Namespace, accepted: list[str], films: int) -> None:
    """Build and try the policies of the accepted episodes, and add what came out."""
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(build, part, accepted, given) for part in PARTS]:
            done.result()
        tried = {
            (part, step_m): pool.submit(
                opened, part, step_m, VALIDATION_SEED, VALIDATION_TRIALS, given
            )
            for part in ("directions", "ingested")
            for step_m in STEPS_M
        }
        steps: dict[str, float | None] = dict.fromkeys(PARTS)
        for part in ("directions", "ingested"):
            # Of equal ones the smallest, which is the most cautious.
            steps[part] = max(STEPS_M, key=lambda c: (tried[part, c].result(), -c))
        tests = {
            part: pool.submit(opened, part, steps[part], TEST_SEED, given.trials, given)
            for part in PARTS
        }
        found = {part: test.result() for part, test in tests.items()}
    write_results(found, steps, f"{len(accepted)} of {films}", given)


def compare_preset(given: argparse.Namespace, accepted: list[str], films: int) -> None:
    """The same with policies of a preset: rates, and what the films cost in the same trials."""
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(build_preset, part, accepted, given) for part in PARTS]:
            done.result()
        tests = {part: pool.submit(tried, part, given) for part in PARTS}
        found = {part: test.result() for part, test in tests.items()}
    results = Results.continued(given.out, "ingest", f"{COMMAND} --preset {given.preset}")
    prefix = f"preset {given.preset}"
    results.add(f"{prefix}: clips accepted", f"{len(accepted)} of {films}")
    for part, trials in found.items():
        rate = SuccessRate.of(opened for opened, _ in trials)
        results.add(
            f"{prefix}, {NAMES[part]}: doors opened",
            rate.successes,
            f"of {rate.trials}, 95 % {100 * rate.low:.0f} to {100 * rate.high:.0f} %; at the first "
            f"attempt {sum(first for _, first in trials)}"
            + ("" if part == "own" else f"; c {UNIT_STEP_M:g} m"),
        )
    for part, goal in (("own", None), ("directions", "<= 5")):
        pair = paired_difference(*([o for o, _ in found[name]] for name in (part, "ingested")))
        other = NAMES[part].removeprefix("policy of the ")
        results.add(
            f"{prefix}, {NAMES['ingested']}: behind the {other}",
            round(100 * pair.difference, 1),
            f"points, 95 % {100 * pair.low:+.0f} to {100 * pair.high:+.0f}, {pair.only_first} "
            f"against {pair.only_second} of {pair.trials}",
            goal,
        )
    results.write(given.out)


def write_results(
    found: dict[str, int], steps: dict[str, float | None], accepted: str, given: argparse.Namespace
) -> None:
    """Doors opened by each policy, with intervals, beside what other measurements added."""
    trials = given.trials * len(given.cabinets)
    results = Results.continued(given.out, "ingest", COMMAND)
    results.add("policy comparison: clips accepted", accepted)
    results.add("policy comparison: cabinets", ", ".join(given.cabinets))
    for part, count in found.items():
        low, high = wilson_interval(count, trials)
        results.add(f"{NAMES[part]}: doors opened", count, f"of {trials}")
        results.add(f"{NAMES[part]}: 95 % interval", f"{100 * low:.0f} to {100 * high:.0f} %")
        if steps[part] is not None:
            results.add(f"{NAMES[part]}: c, by validation trials", steps[part], "m")
    behind = "policy of ingested clips: behind the simulator's own"
    for part, name, goal in (
        ("own", behind, "<= 10"),
        ("directions", f"{behind} at length one", None),
    ):
        points = round(100 * (found[part] - found["ingested"]) / trials, 1)
        results.add(name, points, "points", goal)
    results.write(given.out)
    print(", ".join(f"{part} {count} of {trials}" for part, count in found.items()))


if __name__ == "__main__":
    main()
