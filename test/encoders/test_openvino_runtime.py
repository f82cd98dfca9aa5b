"""A process survives signals, whatever networks it loaded and dropped before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_encoder import write_tiny_encoder

SCRIPT = """
import random, signal, subprocess, sys, threading
from vinn.encoders.encoder import load_encoder

path, seed, dropped_elsewhere = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "thread"
draw = random.Random(seed)
handled = []
for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, frame: handled.append(number))
# A shell starts what runs in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
loaded = []

def drop():
    loaded.pop(draw.randrange(len(loaded)) if seed else 0)

def signals():
    before = len(handled)
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGTERM)
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        handled.append(signal.SIGINT)
    assert len(handled) == before + 4, handled

for _ in range(2):
    loaded += [load_encoder(path, runtime="openvino") for _ in range(3)]
    while loaded:
        if dropped_elsewhere:
            thread = threading.Thread(target=drop)
            thread.start()
            thread.join()
        else:
            drop()
        signals()
"""


@pytest.mark.parametrize("faults", [[], ["-X", "faulthandler"]])
@pytest.mark.parametrize("dropped_in", ["main", "thread"])
@pytest.mark.parametrize("seed", [0, 1])
def test_signals_are_handled_after_networks_are_gone(
    faults: list[str], dropped_in: str, seed: int, tmp_path: Path
) -> None:
    """Seed 0 drops in the order of loading, the other one in a random order."""
    encoder = write_tiny_encoder(tmp_path / "encoder")
    done = subprocess.run(
        [sys.executable, *faults, "-c", SCRIPT, str(encoder), str(seed), dropped_in],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
