from __future__ import annotations

import torch
from vinn.learning.collapse import relative_spread


def test_relative_spread_tells_a_point_from_a_sphere() -> None:
    generator = torch.Generator().manual_seed(0)
    sphere = torch.randn(500, 64, generator=generator)
    assert 0.9 < relative_spread(sphere) < 1.1
    point = torch.ones(500, 64) + 1e-4 * sphere
    assert relative_spread(point) < 1e-3
    # Length does not matter, direction does.
    assert relative_spread(sphere * torch.linspace(1, 9, 500)[:, None]) > 0.9
