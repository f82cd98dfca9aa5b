from __future__ import annotations

import contextlib

import pytest
import torch
from torch.nn.functional import conv2d
from vinn.learning.backbones import build_backbone
from vinn.learning.config import BackboneConfig
from vinn.learning.depthwise import DepthwiseConvolution, FastDepthwise


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7), (8, 4), (1, 5), (5, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1)])
def test_gradients_are_torchs(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 6, 13, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 1, *kernel, dtype=torch.float64, requires_grad=True)
    expected = conv2d(images, weight, None, stride, padding, 1, 6)
    found = DepthwiseConvolution.apply(images, weight, stride, padding)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (images, weight), gradient),
        torch.autograd.grad(expected, (images, weight), gradient),
    )


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_in_bfloat16_they_are_as_exact_as_it_is(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 16, 15, 15).bfloat16().float().requires_grad_()
    weight = torch.randn(16, 1, kernel, kernel).bfloat16().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), FastDepthwise():
        found = conv2d(images, weight, None, stride, 0, 1, 16)
    assert found.dtype == torch.bfloat16
    assert "DepthwiseConvolution" in type(found.grad_fn).__name__
    expected = conv2d(images, weight, None, stride, 0, 1, 16)
    gradient = torch.randn_like(expected).bfloat16().float()
    for ours, exact in zip(
        torch.autograd.grad(found, (images, weight), gradient.bfloat16()),
        torch.autograd.grad(expected, (images, weight), gradient),
        strict=True,
    ):
        assert ours.dtype == torch.float32
        assert (ours - exact).norm() < 2**-7 * exact.norm()


def test_what_is_not_meant_is_left_alone() -> None:
    images = torch.randn(2, 4, 9, 9)
    dense, depthwise, pairs = (torch.nn.Parameter(torch.randn(4, n, 3, 3)) for n in (4, 1, 2))
    bias = torch.nn.Parameter(torch.randn(4))

    def made(*arguments: object) -> str:
        return type(conv2d(images, *arguments).grad_fn).__name__  # type: ignore[call-overload]

    plain = (None, 1, 0, 1)
    with FastDepthwise():
        # In single precision torch is as fast.
        assert "Depthwise" not in made(depthwise, *plain, 4)
        with torch.autocast("cpu", torch.bfloat16):
            assert "Depthwise" in made(depthwise, *plain, 4)
            assert "Depthwise" not in made(dense, *plain, 1)
            assert "Depthwise" not in made(pairs, *plain, 2)
            assert "Depthwise" not in made(depthwise, bias, 1, 0, 1, 4)
            assert "Depthwise" not in made(depthwise, None, 1, 0, 2, 4)
            with torch.no_grad():
                assert conv2d(images, depthwise, *plain, 4).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        assert "Depthwise" not in made(depthwise, *plain, 4)


def test_a_network_learns_the_same() -> None:
    torch.manual_seed(0)
    backbone = build_backbone(
        BackboneConfig(name="efficientnet-lite0", weights="random", image_px=64)
    )
    images, direction = torch.randn(8, 3, 64, 64), torch.randn(8, 1280)
    features, gradients = [], []
    for mode in (contextlib.nullcontext(), FastDepthwise()):
        # It leaves out blocks at random.
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16), mode:
            features.append(backbone.features(images).float())
        backbone.network.zero_grad()
        (features[-1] * direction).sum().backward()
        found = [p.grad.flatten() for p in backbone.network.parameters() if p.grad is not None]
        gradients.append(torch.cat(found))
    assert torch.equal(features[0], features[1])
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm()
