"""A task of one's own, to bring a square to the middle: python examples/06_own_task.py OUT"""

import sys
from pathlib import Path

import numpy as np
from vinn.tasks.recording import record_task
from vinn.tasks.registry import TASKS, task_settings
from vinn.tasks.types import Episode, Task

STEPS, SIDE_PX = 8, 12


class CentringRecorder:
    def __init__(self, settings):
        self.image_px = settings.image_px

    def episode(self, seed):
        start = np.random.default_rng(seed).uniform(0, 1, 2)
        places = np.linspace(start, (0.5, 0.5), STEPS)
        delta_m = np.zeros((STEPS, 3), np.float32)
        delta_m[:-1, :2] = np.diff(places, axis=0) * 0.1
        delta_m[:-1, 2] = 0.01  # forward; the last frame closes the gripper
        gripper = np.array([0] * (STEPS - 1) + [3], np.int8)
        return Episode(tuple(map(self.seen, places)), delta_m, gripper)

    def seen(self, place):
        image = np.full((self.image_px, self.image_px, 3), (30, 60, 120), np.uint8)
        left, top = (place * (self.image_px - SIDE_PX)).astype(int)
        image[top : top + SIDE_PX, left : left + SIDE_PX] = (220, 140, 40)
        return image

    def close(self):
        """Nothing to free."""


TASK = Task("centring", "Centring", "bring a square to the middle", None, "-", CentringRecorder)

if __name__ == "__main__":
    TASKS.add(TASK)
    settings = task_settings("centring", train=4, test=2, image_px=64)
    print(record_task(settings, Path(sys.argv[1])))
