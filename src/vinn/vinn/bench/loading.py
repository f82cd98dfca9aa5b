"""How long a policy with many frames takes to open, and what it occupies."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vinn.demos.frames import read_frame
from vinn.demos.store import Dataset, write_demonstration
from vinn.encoders.artefact import read_manifest
from vinn.policies.artefacts.embedding import EmbeddedDataset
from vinn.policies.build import build_policy

_PROGRAM = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
import numpy as np
from vinn.policies.artefact import load_policy
policy = load_policy(Path(sys.argv[1]))
policy.predict(np.full((240, 320, 3), 127, np.uint8))
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text()
resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
print(json.dumps({"seconds": seconds, "kib": int(resident.split()[1])}))
"""


@dataclass(frozen=True)
class Load:
    """One opening of a policy: imports, loading and a first prediction."""

    seconds: float
    resident_mib: float


def load_in_fresh_process(policy: Path) -> Load:
    """Open a policy in a Python process of its own (Linux)."""
    answer = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(policy)], check=True, capture_output=True, text=True
    )
    found = json.loads(answer.stdout.splitlines()[-1])
    return Load(found["seconds"], found["kib"] / 1024)


def write_large_policy(
    dataset: Dataset, encoder_dir: Path, embeddings: NDArray[np.float32], folder: Path
) -> Path:
    """A policy of as many frames as there are embeddings (N, D).

    Its demonstrations are those of the dataset, again and again under other names, the last one
    cut to fit.
    """
    root = folder / "demonstrations"
    left, number = len(embeddings), 0
    while left:
        original = dataset.demonstrations[number % len(dataset)]
        length = min(left, len(original))
        write_demonstration(
            root,
            original.meta.model_copy(update={"name": f"copy_{number:06d}"}),
            [read_frame(path) for path in original.frame_paths[:length]],
            original.camera_delta[:length],
            original.gripper[:length],
        )
        left, number = left - length, number + 1
    copies = Dataset.open(root)
    embedded = EmbeddedDataset(embeddings, copies.hash, read_manifest(encoder_dir).hash)
    return build_policy(copies, encoder_dir, folder / "policy", embedded=embedded)
