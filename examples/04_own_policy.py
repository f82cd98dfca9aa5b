"""A policy of one's own, a linear map: python examples/04_own_policy.py DEMOS ENCODER OUT"""

import sys
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field
from vinn.demos.store import Dataset
from vinn.encoders.encoder import load_encoder
from vinn.policies.artefact import load_policy
from vinn.policies.kinds.kind import BuildRequest, PolicyKind
from vinn.policies.kinds.registry import POLICY_KINDS
from vinn.policies.types import Prediction


class RidgeSettings(BaseModel):
    strength: float = Field(default=1.0, gt=0)


class RidgePolicy:
    def __init__(self, encoder, weights, action_scale):
        self.encoder, self.weights, self.action_scale = encoder, weights, action_scale

    def reset(self):
        """Nothing to forget."""

    def predict(self, image_rgb):
        said = np.append(self.encoder.embed([image_rgb])[0], 1.0) @ self.weights
        gripper = np.eye(4)[said[3:].argmax()]
        return Prediction(said[:3], float(gripper @ range(4)), gripper, self.action_scale)

    def advance(self, prediction, step):
        """Nothing to remember."""


class RidgeKind(PolicyKind):
    name, title, settings, needs_encoder = "ridge", "a linear map", RidgeSettings, True

    def files(self, settings):
        return ("weights.npy",)

    def write(self, folder, memory, embeddings, settings):
        x = np.c_[embeddings, np.ones(len(memory))].astype(np.float64)
        y = np.c_[memory.camera_delta, np.eye(4)[memory.gripper]]
        weights = np.linalg.solve(x.T @ x + settings.strength * np.eye(x.shape[1]), x.T @ y)
        np.save(folder / "weights.npy", weights)
        return settings

    def load(self, artefact, options):
        encoder = load_encoder(artefact.directory / "encoder", options.threads)
        weights = np.load(artefact.directory / "weights.npy")
        return RidgePolicy(encoder, weights, artefact.manifest.action_scale)


KIND = RidgeKind()

if __name__ == "__main__":
    demos, encoder_dir, out = map(Path, sys.argv[1:])
    POLICY_KINDS.add(KIND)
    KIND.build(BuildRequest(Dataset.open(demos), out, encoder_dir, {"strength": 0.1}))
    print(load_policy(out).predict(np.zeros((48, 64, 3), np.uint8)).camera_delta)
