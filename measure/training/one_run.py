"""Train a few steps and say how fast that went, as JSON; run by `measure.training` on either build.

PYTHONPATH=CHECKOUT/src/vinn python measure/training/one_run.py DEMOS --backbone resnet18 ...
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import torch
from vinn.demos.store import Dataset
from vinn.learning.config import self_supervision_config
from vinn.learning.encoder_training import train_encoder

import vinn

KIB_PER_MIB = 1024


class EnoughStepsError(Exception):
    """Ends the run: what follows the last step is the same for every build."""


def main() -> None:
    """Train, and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demos", type=Path)
    parser.add_argument("--method", default="byol")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--image-px", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="that are timed")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args()
    config = self_supervision_config(
        given.method,
        overrides=[
            f"backbone.name={given.backbone}",
            "backbone.weights=random",
            f"backbone.image_px={given.image_px}",
            f"run.batch_size={given.batch}",
            "run.accelerator=cpu",
            "run.epochs=100000",
            "run.checkpoint_every_steps=100000",
            *given.settings,
        ],
    )
    wall_s, cpu_s = [0.0], [0.0]

    def on_step(done: int, total: int, loss: float) -> None:
        if done == given.warm_up:
            wall_s[0], cpu_s[0] = time.monotonic(), time.process_time()
        if done == given.warm_up + given.steps:
            raise EnoughStepsError

    with tempfile.TemporaryDirectory() as name:
        try:
            train_encoder([Dataset.open(given.demos)], config, Path(name) / "run", on_step)
        except EnoughStepsError:
            wall_s.append(time.monotonic())
            cpu_s.append(time.process_time())
    frames = given.batch * given.steps
    found = {
        "vinn": vinn.__file__,
        "frames_per_s": frames / (wall_s[1] - wall_s[0]),
        "frames_per_cpu_s": frames / (cpu_s[1] - cpu_s[0]),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
