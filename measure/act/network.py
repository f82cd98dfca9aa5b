"""LeRobot's ACT on embeddings of pictures, in the environment that has LeRobot.

    python network.py train FRAMES.npz STEPS SEED MODEL
    python network.py answer MODEL

FRAMES.npz holds embeddings (N, D) float32, actions (N, A) float32 and episodes (N,). `answer` reads
from stdin the byte `r` (an episode begins) or `e` and an embedding, D float32, and writes for the
latter the action, A float32. Imports nothing of this project.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy

EMBEDDING, STATE, ACTION = "observation.environment_state", "observation.state", "action"
CHUNK = 16
"""Actions that are said at a time: half of a demonstration."""
BATCH_SIZE = 32


def network(dimension: int, actions: int) -> ACTPolicy:
    """ACT with LeRobot's defaults, but for its size and for averaging over what it said before."""
    config = ACTConfig(
        input_features={EMBEDDING: PolicyFeature(FeatureType.ENV, (dimension,))},
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (actions,))},
        chunk_size=CHUNK,
        n_action_steps=1,
        temporal_ensemble_coeff=0.01,
        dim_model=128,
        dim_feedforward=512,
        device="cpu",
    )
    return ACTPolicy(config)


def seen_alone(seen: np.ndarray) -> dict[str, torch.Tensor]:
    """A batch (B, D) without a state, of which LeRobot 0.4.4 reads the device all the same."""
    return {EMBEDDING: torch.from_numpy(seen), STATE: torch.zeros(len(seen), 0)}


def spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column; a constant one counts as spread by 1."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)


def train(frames: Path, steps: int, seed: int, model: Path) -> None:
    """Fit and save."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    with np.load(frames) as data:
        embeddings, actions, episodes = data["embeddings"], data["actions"], data["episodes"]
    scales = {"embedding": spread(embeddings), "action": spread(actions)}
    seen = (embeddings - scales["embedding"][0]) / scales["embedding"][1]
    done = (actions - scales["action"][0]) / scales["action"][1]
    ends = np.array([np.flatnonzero(episodes == episode)[-1] for episode in episodes])
    act = network(seen.shape[1], done.shape[1]).train()
    optimizer = torch.optim.AdamW(act.parameters(), lr=1e-4, weight_decay=1e-4)
    for step in range(steps):
        chosen = rng.integers(len(seen), size=BATCH_SIZE)
        rows = chosen[:, None] + np.arange(CHUNK)
        past = rows > ends[chosen, None]
        rows = np.minimum(rows, ends[chosen, None])
        batch = {
            **seen_alone(seen[chosen]),
            ACTION: torch.from_numpy(done[rows]),
            "action_is_pad": torch.from_numpy(past),
        }
        loss, _ = act(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(act.parameters(), 10.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step} of {steps}: loss {loss.item():.4f}", file=sys.stderr, flush=True)
    torch.save({"network": act.state_dict(), "scales": scales}, model)
    print(version("lerobot"))


def answer(model: Path) -> None:
    """Say what to do, until stdin ends."""
    kept = torch.load(model, weights_only=False)
    mean, deviation = kept["scales"]["embedding"]
    action_mean, action_deviation = kept["scales"]["action"]
    act = network(len(mean), len(action_mean)).eval()
    act.load_state_dict(kept["network"])
    length = mean.nbytes
    while kind := sys.stdin.buffer.read(1):
        if kind == b"r":
            act.reset()
            continue
        embedding = np.frombuffer(sys.stdin.buffer.read(length), np.float32)
        seen = seen_alone(((embedding - mean) / deviation)[None])
        with torch.inference_mode():
            said = act.select_action(seen)[0].numpy()
        said = said * action_deviation + action_mean
        sys.stdout.buffer.write(said.astype(np.float32).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    else:
        answer(Path(sys.argv[2]))
