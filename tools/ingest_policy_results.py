"""Does a policy of ingested clips open the door as well as one of the simulator's own actions?

    python tools/ingest_policy_results.py --encoder ENCODER --work runs/ingest_policy --jobs 2

Both policies come from the same episodes of the expert: one from the recording that the simulator
makes, the other from films of them that went through `vinn.ingest` (true gripper states, as a
person would label them). Adds its rows to docs/results/ingest.* Run again to resume: episodes that
were ingested are kept, and so are policies; remove WORK/policy-* after adding demonstrations.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import cv2
import numpy as np
from vinn.demos.store import Dataset, write_demonstration
from vinn.demos.types import ActionScale, CameraInfo, DemonstrationMeta, GripperState
from vinn.evaluation.ingest_clips import film_expert, write_clip
from vinn.evaluation.results import Results
from vinn.evaluation.trials import StopAt, run_trials
from vinn.ingest.camera_profile import load_profile
from vinn.ingest.clip import ClipFolder
from vinn.ingest.pipeline import IngestSettings, process_clip
from vinn.ingest.pipeline import write_clip as write_ingested
from vinn.policies.artefact import load_policy
from vinn.policies.build import build_policy
from vinn.robot.config import MotionConfig, RobotConfig
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.episode import robot_config
from vinn.sim.scene import SceneConfig

PROFILE = Path(__file__).parents[1] / "config" / "cameras" / "sim_fisheye.yaml"
PER_STEP = 3
FIRST_SEED = 500
K = 5
UNIT_STEP_M = 0.028
"""c of the unit actions: about the expert's mean step."""


def demonstrate(cabinet: str, seed: int, work: Path) -> bool:
    """Film one episode, store the simulator's own demonstration, ingest the film.

    Episodes that are done already are not done again. Returns whether the gate accepted the film.
    """
    cv2.setNumThreads(1)
    name = f"{cabinet}-{seed}"
    video = work / "films" / f"{name}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    clip = ClipFolder(work / "ingest" / name)
    if (work / "own" / name).exists() and clip.path.exists() and clip.gripper_source is not None:
        return (work / "ingested" / name).exists()
    scene = SceneConfig(cabinet=CABINETS[cabinet], difficulty=DIFFICULTIES["easy"])
    filmed = film_expert(scene, seed, PER_STEP)
    write_clip(video, filmed.images_rgb, PER_STEP)
    episode = filmed.episode
    height, width = episode.frames_rgb[0].shape[:2]
    meta = DemonstrationMeta(
        name=name,
        task="door_opening",
        camera=CameraInfo(name="wrist", width_px=width, height_px=height),
        action_scale=ActionScale.METRIC,
    )
    own = work / "own"
    if not (own / name).exists():
        write_demonstration(own, meta, episode.frames_rgb, episode.camera_delta_m, episode.gripper)
    process_clip(video, load_profile(PROFILE), IngestSettings(), clip)
    states = {slot: GripperState(int(filmed.frame_gripper[slot])) for slot in clip.slots}
    clip.write_gripper("truth", states)
    return write_ingested(clip, work / "ingested", "door_opening") is not None


def opened(
    work: Path, part: str, encoder: Path, robot: RobotConfig, cabinets: list[str], trials: int
) -> list[bool]:
    """Build the policy of one dataset and try it on the cabinets it was shown."""
    policy = work / f"policy-{part}"
    if not policy.exists():
        build_policy(Dataset.open(work / part), encoder, policy, k=K)
    scenes = [SceneConfig(cabinet=CABINETS[c], difficulty=DIFFICULTIES["easy"]) for c in cabinets]
    results = run_trials(
        load_policy(policy),
        scenes,
        trials,
        seed=0,
        robot=robot,
        stop_at=StopAt.OPENED,
        on_trial=lambda r: print(part, r.cabinet, r.trial, r.opened, flush=True),
    )
    return [result.opened for result in results]


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
    given = parser.parse_args()
    cabinets = given.cabinets.split(",")
    pairs = [(c, FIRST_SEED + i) for i in range(given.demonstrations) for c in cabinets]
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(demonstrate, *pair, given.work) for pair in pairs]
        accepted = 0
        for pair, future in zip(pairs, futures, strict=True):
            accepted += future.result()
            print(*pair, "accepted" if future.result() else "rejected", flush=True)
    scene = SceneConfig()
    metric = robot_config(scene)
    unit = metric.model_copy(
        update={"motion": MotionConfig(action_scale=ActionScale.UNIT, scale=(UNIT_STEP_M,) * 3)}
    )
    own = opened(given.work, "own", given.encoder, metric, cabinets, given.trials)
    ingested = opened(given.work, "ingested", given.encoder, unit, cabinets, given.trials)
    path = given.out / "ingest.json"
    results = (
        Results.read(path) if path.exists() else Results("ingest", "python tools/ingest_results.py")
    )
    results.add("policy comparison: clips accepted", accepted, f"of {len(pairs)}")
    share_own, share_ingested = 100 * float(np.mean(own)), 100 * float(np.mean(ingested))
    results.add("policy of the simulator's actions: doors opened", sum(own), f"of {len(own)}")
    results.add("policy of ingested clips: doors opened", sum(ingested), f"of {len(ingested)}")
    results.add(
        "policy of ingested clips: behind the simulator's own",
        round(share_own - share_ingested, 1),
        "points",
        "<= 10",
    )
    results.write(given.out)
    print(f"own {sum(own)} of {len(own)}, ingested {sum(ingested)} of {len(ingested)}")


if __name__ == "__main__":
    main()
