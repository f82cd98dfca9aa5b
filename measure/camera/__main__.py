"""Measure sign check (simulated) and calibration (rendered boards): docs/results/camera.*

python -m measure.camera
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
from rich.progress import track
from vinn.evaluation.results import Results
from vinn.ingest.lenses.calibration import View, calibrate
from vinn.ingest.lenses.charuco import CalibrationBoard
from vinn.robot.types import ReasonCode
from vinn.sim.cabinets import CABINETS
from vinn.sim.difficulty import DIFFICULTIES
from vinn.sim.scene import SceneConfig

from measure.camera.board_pictures import FISHEYE, WEBCAM, pictures
from measure.camera.sign_checks import simulated_sign_check

COMMAND = "python -m measure.camera"
MOUNTS = {
    "right way up": 0.0,
    "upside down": math.pi,
    "on its left side": math.pi / 2,
    "on its right side": -math.pi / 2,
}
LENSES = {"fisheye, 125 degrees": FISHEYE, "webcam, 64 degrees": WEBCAM}


def measure_sign_checks(results: Results, seeds: int) -> None:
    """Every cabinet and difficulty, each mount."""
    scenes = list(itertools.product(CABINETS, ("easy", "hard"), range(seeds)))
    for mount, misroll_rad in MOUNTS.items():
        right, turns = 0, []
        for cabinet, difficulty, seed in track(scenes, f"sign check, {mount}"):
            scene = SceneConfig(cabinet=CABINETS[cabinet], difficulty=DIFFICULTIES[difficulty])
            check = simulated_sign_check(scene, 100 + seed, misroll_rad)
            wanted = ReasonCode.CAMERA_REVERSED if misroll_rad else ReasonCode.NONE
            right += check.reason is wanted
            turns += [
                math.degrees(abs(math.remainder(r.turned_rad - misroll_rad, 2 * math.pi)))
                for r in check.axes
                if math.isfinite(r.turned_rad)
            ]
        verdict = "refused" if misroll_rad else "passed"
        results.add(
            f"sign check, camera {mount}: {verdict}",
            right,
            f"of {len(scenes)}",
            goal=f">= {len(scenes)}",
        )
        results.add(
            f"sign check, camera {mount}: error of the angle it names, largest",
            max(turns, default=math.nan),
            "deg",
        )


def measure_calibration(results: Results, sets: int) -> None:
    """Twenty-four pictures a set, blurred and noisy."""
    board = CalibrationBoard()
    for name, lens in LENSES.items():
        focal, centre, rms = [], [], []
        for seed in track(range(sets), f"calibration, {name}"):
            views = [View(*board.detect(image)) for image in pictures(board, lens, 24, seed)]
            found = calibrate(views, board, lens.width_px, lens.height_px, lens.model)
            focal.append(100 * abs(found.lens.fx_px / lens.fx_px - 1))
            centre.append(math.hypot(found.lens.cx_px - lens.cx_px, found.lens.cy_px - lens.cy_px))
            rms.append(found.rms_px)
        results.add(f"calibration, {name}: focal length, largest error", max(focal), "%", "<= 0.5")
        results.add(f"calibration, {name}: centre, largest error", max(centre), "px", "<= 2")
        results.add(f"calibration, {name}: reprojection error, median", float(np.median(rms)), "px")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="scenes per cabinet and difficulty")
    parser.add_argument("--sets", type=int, default=5, help="sets of pictures per lens")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    results = Results("camera", COMMAND)
    measure_sign_checks(results, arguments.seeds)
    measure_calibration(results, arguments.sets)
    print(results.write(arguments.out))


if __name__ == "__main__":
    main()
