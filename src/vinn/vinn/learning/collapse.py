"""Has a self-supervised encoder collapsed to (nearly) one point?"""

from __future__ import annotations

import torch


def relative_spread(embeddings: torch.Tensor) -> float:
    """Spread of directions of N embeddings (N, D): 0 is one point, 1 is all over the sphere.

    Embeddings are scaled to length 1, then the standard deviation of each component is averaged
    and multiplied by sqrt(D): vectors spread evenly over the unit sphere have a standard deviation
    of 1 / sqrt(D) in each component (Chen & He 2021, "Exploring Simple Siamese Representation
    Learning", section 4.1).
    """
    unit = torch.nn.functional.normalize(embeddings.detach().float(), dim=1)
    return float(unit.std(dim=0, unbiased=False).mean() * unit.shape[1] ** 0.5)
