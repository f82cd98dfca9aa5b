"""Step mode: one step for each press, none kept for later, and nothing that hangs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from vinn_ros.step_mode import StepMode


def test_off_lets_everything_pass() -> None:
    mode = StepMode(False)
    assert mode.wait(lambda: False) is False
    assert mode.allow() is False


def test_each_press_is_one_step() -> None:
    mode = StepMode(True)
    ended = threading.Event()
    done: list[bool] = []

    def rollout() -> None:
        while not ended.is_set():
            done.append(mode.wait(ended.is_set))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(rollout)
        for count in range(1, 4):
            while not mode.allow():
                pass
            while len(done) < count:
                pass
        assert len(done) == 3
        ended.set()
        running.result(5.0)
    assert mode.waiting is False


def test_switching_off_lets_the_held_step_go() -> None:
    mode = StepMode(True)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(mode.wait, lambda: False)
        while not mode.waiting:
            pass
        mode.enable(False)
        assert held.result(5.0) is True
