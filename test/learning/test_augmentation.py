from __future__ import annotations

import torch
from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.augmentation import RandomView
from vinn.learning.collapse import relative_spread
from vinn.learning.config import AugmentationConfig

PREPROCESSING = Preprocessing(
    width_px=32, height_px=32, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
)
PLAIN = AugmentationConfig(jitter_probability=0, gray_probability=0, blur_probability=0)


def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 48, 48), generator=generator, dtype=torch.uint8)


def test_views_have_the_networks_size_and_are_normalised_once() -> None:
    torch.manual_seed(0)
    views = torch.stack(
        [RandomView(AugmentationConfig(), PREPROCESSING)(image()) for _ in range(8)]
    )
    assert views.shape == (8, 3, 32, 32)
    # (x - 127.5) / 127.5 of something in 0..255, a little more where interpolation overshoots.
    assert views.abs().max() < 1.2


def test_a_seed_repeats_a_view_and_calls_differ() -> None:
    view = RandomView(AugmentationConfig(), PREPROCESSING)
    torch.manual_seed(3)
    first, second = view(image()), view(image())
    torch.manual_seed(3)
    assert torch.equal(view(image()), first)
    assert not torch.equal(first, second)


def test_left_stays_left() -> None:
    # An action has a side: a mirrored frame would go with the wrong action.
    half = torch.zeros(3, 48, 48, dtype=torch.uint8)
    half[:, :, :24] = 255
    torch.manual_seed(0)
    view = RandomView(AugmentationConfig(), PREPROCESSING)
    for _ in range(50):
        seen = view(half)
        assert seen[:, :, :8].mean() >= seen[:, :, -8:].mean()


def test_double_normalisation_loses_the_dark_half_where_it_jitters() -> None:
    always = PLAIN.model_copy(
        update={
            "jitter_probability": 1.0,
            "brightness": 1e-6,
            "contrast": 0.0,
            "saturation": 0.0,
            "hue": 0.0,
        }
    )
    dark = torch.full((3, 48, 48), 40, dtype=torch.uint8)
    darker = torch.full((3, 48, 48), 90, dtype=torch.uint8)
    torch.manual_seed(0)
    once = RandomView(always, PREPROCESSING)
    assert once(darker).mean() - once(dark).mean() > 0.3
    twice = RandomView(always, PREPROCESSING, double_normalisation=True)
    # Both are below the mean: the first normalisation makes them negative, the jitter clips to 0.
    assert abs(float(twice(darker).mean() - twice(dark).mean())) < 0.05


def test_double_normalisation_of_pixels_at_the_mean_stays_finite() -> None:
    """Of grey 127 and darker, normalised: the largest channel is 0, and a hue divides by it."""
    preprocessing = PREPROCESSING.model_copy(update={"mean": (127.0,) * 3, "std": (128.0,) * 3})
    image = torch.full((3, 24, 32), 127, dtype=torch.uint8)
    image[1:, ::2] = 40
    always = AugmentationConfig(jitter_probability=1.0, gray_probability=0, blur_probability=0)
    torch.manual_seed(0)
    twice = RandomView(always, preprocessing, double_normalisation=True)
    for _ in range(50):
        assert torch.isfinite(twice(image)).all()


def test_relative_spread_tells_a_point_from_a_sphere() -> None:
    generator = torch.Generator().manual_seed(0)
    sphere = torch.randn(500, 64, generator=generator)
    assert 0.9 < relative_spread(sphere) < 1.1
    point = torch.ones(500, 64) + 1e-4 * sphere
    assert relative_spread(point) < 1e-3
    # Length does not matter, direction does.
    assert relative_spread(sphere * torch.linspace(1, 9, 500)[:, None]) > 0.9
