from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional
from vinn.encoders.preprocessing import Preprocessing
from vinn.learning.augmentation import RandomViews
from vinn.learning.colour import brightness, contrast, gray, hue, saturation
from vinn.learning.config import AugmentationConfig

PREPROCESSING = Preprocessing(
    width_px=32, height_px=32, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)
)
IN_0_TO_1 = Preprocessing(width_px=32, height_px=32, std=(255.0, 255.0, 255.0))
PLAIN = AugmentationConfig(jitter_probability=0, gray_probability=0, blur_probability=0)


def images(count: int, seed: int = 0, side_px: int = 48) -> torch.Tensor:
    """Blocks of colours and of greys, with noise: hues, edges, and places without a hue."""
    generator = torch.Generator().manual_seed(seed)
    size = (count, 3, side_px // 8, side_px // 8)
    blocks = torch.randint(0, 256, size, generator=generator)
    blocks[:, :, 0] = blocks[:, :1, 0]
    blocks[:, :, 1, 0], blocks[:, :, 1, 1] = 0, 255
    large = blocks.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    noise = torch.randint(-9, 10, large.shape, generator=generator)
    noise[:, :, :8] = 0
    return (large + noise).clamp(0, 255).to(torch.uint8)


def frame_by_frame(
    frames: torch.Tensor, config: AugmentationConfig, seed: int, crop_as_float: bool = False
) -> torch.Tensor:
    """The same views by torchvision, one frame at a time, with the parameters drawn alike."""
    torch.manual_seed(seed)
    crop = v2.RandomResizedCrop((32, 32), scale=(config.crop_scale_min, 1.0))
    jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
    places = [crop.make_params([frame]) for frame in frames]
    is_jittered = torch.rand(len(frames)) < config.jitter_probability
    draws: list[Any] = [jitter.make_params([]) if chosen else None for chosen in is_jittered]
    is_gray = torch.rand(len(frames)) < config.gray_probability
    is_blurred = torch.rand(len(frames)) < config.blur_probability
    sigmas_px = torch.empty(int(is_blurred.sum())).uniform_(*config.blur_sigma_px).tolist()
    views = []
    for index, frame in enumerate(frames):
        image = frame.float() / 255 if crop_as_float else frame
        view = functional.resized_crop(image, **places[index], size=[32, 32])
        view = view if crop_as_float else view.float() / 255
        draw = draws[index]
        for step in [] if draw is None else draw["fn_idx"].tolist():
            name = ("brightness", "contrast", "saturation", "hue")[step]
            adjust = getattr(functional, f"adjust_{name}")
            if draw[f"{name}_factor"] is not None:
                view = adjust(view, draw[f"{name}_factor"])
        if is_gray[index]:
            view = functional.rgb_to_grayscale(view, num_output_channels=3)
        if is_blurred[index]:
            view = functional.gaussian_blur(view, [3, 3], [sigmas_px.pop(0)] * 2)
        views.append(view)
    return torch.stack(views)


def test_views_have_the_networks_size_and_are_normalised_once() -> None:
    torch.manual_seed(0)
    views = RandomViews(AugmentationConfig(), PREPROCESSING)(images(8))
    assert views.shape == (8, 3, 32, 32)
    assert views.dtype == torch.float32
    # (x - 127.5) / 127.5 of something in 0..255.
    assert 0.5 < views.abs().max() < 1.01


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        PLAIN.model_copy(update={"jitter_probability": 1.0}),
        PLAIN.model_copy(update={"jitter_probability": 1.0, "hue": 0.5, "contrast": 0.0}),
        PLAIN.model_copy(update={"gray_probability": 1.0}),
        PLAIN.model_copy(update={"blur_probability": 1.0, "blur_sigma_px": (0.3, 2.0)}),
        AugmentationConfig(jitter_probability=0.6, gray_probability=0.4, blur_probability=0.5),
    ],
    ids=["crop", "jitter", "three-adjustments", "gray", "blur", "all"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_batch_is_what_torchvision_makes_of_each_frame(
    config: AugmentationConfig, seed: int
) -> None:
    frames = images(24, seed)
    expected = frame_by_frame(frames, config, seed)
    torch.manual_seed(seed)
    found = RandomViews(config, IN_0_TO_1)(frames)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_crops_of_bytes_are_those_of_floats_but_for_rounding() -> None:
    frames = images(40, seed=5)
    expected = frame_by_frame(frames, PLAIN, seed=5, crop_as_float=True)
    torch.manual_seed(5)
    found = RandomViews(PLAIN, IN_0_TO_1)(frames)
    # Rows and columns are rounded, each by half a step at most.
    assert (found - expected).abs().max() < 1.2 / 255
    assert (found - expected).abs().mean() < 0.5 / 255


@pytest.mark.parametrize("adjust", [brightness, contrast, saturation, hue])
def test_each_image_has_a_factor_of_its_own(adjust: Any) -> None:
    frames = images(6, seed=2).float() / 255
    factors = torch.tensor([-0.5, -0.2, 0.0, 0.1, 0.3, 0.5])
    factors = factors if adjust is hue else factors + 1
    found = adjust(frames, factors.view(-1, 1, 1, 1))
    reference = getattr(functional, f"adjust_{adjust.__name__}")
    for image, factor, changed in zip(frames, factors.tolist(), found, strict=True):
        torch.testing.assert_close(changed, reference(image, factor), atol=2e-6, rtol=0)


def test_gray_is_torchvisions() -> None:
    frames = images(3).float() / 255
    torch.testing.assert_close(gray(frames), functional.rgb_to_grayscale(frames))


def test_each_frame_draws_its_own_parameters() -> None:
    """Of flat frames only brightness shows: a share p has its own factor from all of its range."""
    config = PLAIN.model_copy(
        update={"jitter_probability": 0.3, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    )
    flat = torch.full((3000, 3, 32, 32), 100, dtype=torch.uint8)
    torch.manual_seed(0)
    seen = RandomViews(config, IN_0_TO_1)(flat)[:, 0, 0, 0] * 2.55
    changed = (seen - 1).abs() > 1e-6
    assert 0.26 < changed.float().mean() < 0.34
    # Uniform in 1 -+ 0.8: as numpy draws it, to within what 900 draws allow (Kolmogorov, 1e-3).
    factors = np.sort(seen[changed].numpy())
    expected = (factors - 0.2) / 1.6
    ranks = np.arange(1, len(factors) + 1) / len(factors)
    assert np.abs(ranks - expected).max() < 1.95 / len(factors) ** 0.5


def test_a_seed_repeats_views_and_calls_differ() -> None:
    views = RandomViews(AugmentationConfig(), PREPROCESSING)
    torch.manual_seed(3)
    first, second = views(images(4)), views(images(4))
    torch.manual_seed(3)
    assert torch.equal(views(images(4)), first)
    assert not torch.equal(first, second)


def test_left_stays_left() -> None:
    # An action has a side: a mirrored frame would go with the wrong action.
    half = torch.zeros(50, 3, 48, 48, dtype=torch.uint8)
    half[..., :24] = 255
    torch.manual_seed(0)
    for seen in RandomViews(AugmentationConfig(), PREPROCESSING)(half):
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
    frames = torch.full((2, 3, 48, 48), 40, dtype=torch.uint8)
    frames[1] = 90
    torch.manual_seed(0)
    dark, darker = RandomViews(always, PREPROCESSING)(frames)
    assert darker.mean() - dark.mean() > 0.3
    # Both are below the mean: the first normalisation makes them negative, the jitter clips to 0.
    dark, darker = RandomViews(always, PREPROCESSING, double_normalisation=True)(frames)
    assert abs(float(darker.mean() - dark.mean())) < 0.05


def test_double_normalisation_of_pixels_at_the_mean_stays_finite() -> None:
    """Of grey 127 and darker, normalised: the largest channel is 0, and hue has no scale."""
    preprocessing = PREPROCESSING.model_copy(update={"mean": (127.0,) * 3, "std": (128.0,) * 3})
    frames = torch.full((50, 3, 24, 32), 127, dtype=torch.uint8)
    frames[:, 1:, ::2] = 40
    always = AugmentationConfig(jitter_probability=1.0, gray_probability=0, blur_probability=0)
    torch.manual_seed(0)
    twice = RandomViews(always, preprocessing, double_normalisation=True)
    assert torch.isfinite(twice(frames)).all()
