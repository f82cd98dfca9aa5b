"""Gradients of depthwise convolutions in bfloat16, for which torch has few fast kernels on a CPU.

Measured on a processor with AVX512_BF16: gradients of 5x5 weights take 3 to 5 times as long as in
float32, those of images behind a stride 6 to 12 times, and a step of EfficientNet-Lite0 no less
than in float32. The sums below are the same ones, put together from the fast cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import conv2d
from torch.overrides import TorchFunctionMode

WINDOW = 3
"""Side of the kernel whose gradient is fast."""

Pair = tuple[int, int]


class FastDepthwise(TorchFunctionMode):
    """Inside, what autocast computes of them in bfloat16 has `DepthwiseConvolution`'s gradients."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """See `TorchFunctionMode`."""
        if func is conv2d and not kwargs and len(args) == 7 and _in_bfloat16():
            images, weight, bias, stride, padding, dilation, groups = args
            if (
                images.device.type == "cpu"
                and groups == len(weight) == images.shape[1] > 1
                and bias is None
                and _pair(dilation) == (1, 1)
                and not isinstance(padding, str)
            ):
                return DepthwiseConvolution.apply(
                    images.bfloat16(), weight.bfloat16(), _pair(stride), _pair(padding)
                )
        return func(*args, **(kwargs or {}))


class DepthwiseConvolution(torch.autograd.Function):
    """`conv2d` of images (N, C, H, W) and weights (C, 1, h, w), with groups = C."""

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
    ) -> torch.Tensor:
        """(N, C, H', W')."""
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Of images and weight."""
        images, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = _of_images(gradient, images, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(gradient, images, weight, ctx.stride, ctx.padding)
        return of_images, of_weight, None, None


def _in_bfloat16() -> bool:
    return (
        torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def _of_images(
    gradient: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    if stride != (1, 1) and images.dtype == torch.bfloat16:
        wide = _backward(gradient.float(), images.float(), weight.float(), stride, padding, 0)
        return wide.to(images.dtype)
    return _backward(gradient, images, weight, stride, padding, 0)


def _of_weight(
    gradient: torch.Tensor, images: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    """A tap's gradient depends on the images shifted by it: kernels are put together of windows."""
    height, width = weight.shape[2:]
    if max(height, width) <= WINDOW:
        return _backward(gradient, images, weight, stride, padding, 1)
    padded = torch.nn.functional.pad(images, (padding[1], padding[1], padding[0], padding[0]))
    found = torch.empty_like(weight)
    # Windows at 0, 2 for a side of 5: the last one ends where the kernel ends.
    for top in _window_starts(height):
        for left in _window_starts(width):
            rows, columns = min(WINDOW, height), min(WINDOW, width)
            part = padded[
                :,
                :,
                top : top + stride[0] * (gradient.shape[2] - 1) + rows,
                left : left + stride[1] * (gradient.shape[3] - 1) + columns,
            ].contiguous(memory_format=torch.channels_last)
            window = weight[:, :, top : top + rows, left : left + columns]
            found[:, :, top : top + rows, left : left + columns] = _backward(
                gradient, part, window.contiguous(), stride, (0, 0), 1
            )
    return found


def _window_starts(side: int) -> list[int]:
    last = max(0, side - WINDOW)
    return sorted({*range(0, last, WINDOW), last})


def _backward(
    gradient: torch.Tensor,
    images: torch.Tensor,
    weight: torch.Tensor,
    stride: Pair,
    padding: Pair,
    wanted: int,
) -> torch.Tensor:
    """torch's own gradient of the images (0) or of the weight (1)."""
    mask = [wanted == 0, wanted == 1, False]
    found: torch.Tensor = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), mask
    )[wanted]
    return found


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
