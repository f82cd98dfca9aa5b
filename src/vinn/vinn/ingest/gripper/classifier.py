"""The gripper network of the paper (section III-C): which of four states a crop shows.

Oriented gradients of the crop and a softmax regression: 200 labels are enough, training takes a
second, and nothing but numpy runs. Over a clip the states are smoothed by the most probable path
through a Markov chain whose transitions were counted in the labelled clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vinn.demos.files import atomic_file
from vinn.demos.types import GripperState
from vinn.errors import ArtefactError, ConfigError
from vinn.reading.arrays import read_npz

STATES = len(GripperState)
Crop = tuple[float, float, float, float]
"""(left, top, right, bottom) in fractions of the frame."""

_SIDE_PX, _CELLS, _BINS = 96, 12, 9
_FORMAT = 1
_L2 = 1e-3
_ITERATIONS = 300


def crop_features(image_rgb: NDArray[np.uint8], crop: Crop) -> NDArray[np.float64]:
    """(D,) histograms of oriented gradients (Dalal and Triggs 2005) and colours of the crop.

    Args:
        image_rgb: (H, W, 3) uint8.
        crop: what of it is the gripper.
    """
    height, width = image_rgb.shape[:2]
    left, top, right, bottom = (
        round(edge * side) for edge, side in zip(crop, (width, height, width, height), strict=True)
    )
    part = np.ascontiguousarray(image_rgb[top:bottom, left:right])
    small = cv2.resize(part, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(dx, dy)
    angle = np.mod(np.arctan2(dy, dx), np.pi) / np.pi * _BINS
    lower = np.floor(angle).astype(int) % _BINS
    weight = angle - np.floor(angle)
    side = _SIDE_PX // _CELLS
    histogram = np.zeros((_CELLS, _CELLS, _BINS))
    rows, columns = np.indices(grey.shape) // side
    np.add.at(histogram, (rows, columns, lower), strength * (1 - weight))
    np.add.at(histogram, (rows, columns, (lower + 1) % _BINS), strength * weight)
    # Normalised over each cell and its neighbours, so that light does not count.
    energy = cv2.blur((histogram**2).sum(-1), (3, 3), borderType=cv2.BORDER_REFLECT)
    gradients = np.minimum(histogram / np.sqrt(energy + 1e-3)[..., None], 0.4)
    colours = cv2.resize(small, (8, 8), interpolation=cv2.INTER_AREA).astype(np.float64) / 255
    return np.concatenate([gradients.ravel(), colours.ravel()])


@dataclass(frozen=True)
class GripperClassifier:
    """A trained classifier.

    Attributes:
        crop: part of the frame it looks at.
        mean: (D,) of the training features.
        weights: (D, 4).
        bias: (4,).
        transitions: (4, 4) probability of the next state (column) after a state (row).
    """

    crop: Crop
    mean: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    transitions: NDArray[np.float64]

    def probabilities(self, images_rgb: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """(N, 4) of N frames, each on its own."""
        features = np.stack([crop_features(image, self.crop) for image in images_rgb])
        return _softmax((features - self.mean) @ self.weights + self.bias)

    def smoothed(self, images_rgb: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
        """(N,) states of N successive frames."""
        return most_probable_path(self.probabilities(images_rgb), self.transitions)

    def save(self, path: Path) -> None:
        """Write to one file, atomically."""
        with atomic_file(path, ArtefactError) as file:
            np.savez(
                file,
                format=_FORMAT,
                crop=self.crop,
                mean=self.mean,
                weights=self.weights,
                bias=self.bias,
                transitions=self.transitions,
            )

    @classmethod
    def load(cls, path: Path) -> GripperClassifier:
        """Read a file written by `save`; nothing in it is executed.

        Raises:
            ArtefactError: missing, damaged, or not a gripper classifier.
        """
        names = ("crop", "mean", "weights", "bias", "transitions")
        found = read_npz(path, ArtefactError, ("format", *names))
        if found["format"].tolist() != _FORMAT:
            raise ArtefactError(f"{path}: format {found['format']}, expected {_FORMAT}")
        parts = {name: np.asarray(found[name], np.float64) for name in names}
        size = _CELLS * _CELLS * _BINS + 8 * 8 * 3
        shapes = {
            "crop": (4,),
            "mean": (size,),
            "weights": (size, STATES),
            "bias": (STATES,),
            "transitions": (STATES, STATES),
        }
        for name, shape in shapes.items():
            if parts[name].shape != shape or not np.isfinite(parts[name]).all():
                raise ArtefactError(f"{path}: '{name}' must be {shape} finite numbers")
        crop = check_crop(tuple(float(edge) for edge in parts["crop"]), str(path))
        return cls(crop, *(parts[name] for name in ("mean", "weights", "bias", "transitions")))


def check_crop(crop: Sequence[float], what: str) -> Crop:
    """A crop of at least 5 % of the frame a side.

    Raises:
        ConfigError: anything else; the message starts with `what`.
    """
    if len(crop) == 4:
        left, top, right, bottom = crop
        inside = min(crop) >= 0 and max(crop) <= 1
        if inside and right - left >= 0.05 and bottom - top >= 0.05:
            return (left, top, right, bottom)
    raise ConfigError(
        f"{what}: crop {tuple(crop)}: expected left, top, right, bottom within 0..1, at least 0.05 "
        "apart"
    )


def train_classifier(
    clips: Sequence[tuple[Sequence[NDArray[np.uint8]], Sequence[int]]], crop: Crop
) -> GripperClassifier:
    """Train on labelled clips.

    Args:
        clips: for each clip, its labelled frames in order and their states 0..3.
        crop: part of the frame that shows the gripper.

    Raises:
        ConfigError: no labels, or fewer than two states among them.
    """
    states = np.array([state for _, labels in clips for state in labels], np.int64)
    if len(np.unique(states)) < 2:
        raise ConfigError(
            f"gripper classifier: {len(states)} labels of {len(np.unique(states))} states; label "
            "frames of at least 2 states"
        )
    features = np.stack([crop_features(image, crop) for images, _ in clips for image in images])
    mean = features.mean(axis=0)
    weights, bias = _fit(features - mean, np.eye(STATES)[states])
    # A pseudo-count per transition: what was never seen stays possible.
    counts = np.full((STATES, STATES), 0.2) + np.eye(STATES)
    for _, labels in clips:
        for now, then in pairwise(labels):
            counts[now, then] += 1
    return GripperClassifier(crop, mean, weights, bias, counts / counts.sum(axis=1, keepdims=True))


def confusion(truth: Sequence[int], found: Sequence[int]) -> NDArray[np.int64]:
    """(4, 4) counts, truth in rows."""
    matrix = np.zeros((STATES, STATES), np.int64)
    np.add.at(matrix, (np.asarray(truth, int), np.asarray(found, int)), 1)
    return matrix


def most_probable_path(
    probabilities: NDArray[np.float64], transitions: NDArray[np.float64]
) -> NDArray[np.int64]:
    """(N,) the states of the most probable path (Viterbi 1967), all first states alike."""
    log_step = np.log(np.maximum(transitions, 1e-12))
    log_seen = np.log(np.maximum(probabilities, 1e-12))
    score = log_seen[0]
    came_from = np.zeros(probabilities.shape, np.int64)
    for i in range(1, len(probabilities)):
        options = score[:, None] + log_step
        came_from[i] = options.argmax(axis=0)
        score = options.max(axis=0) + log_seen[i]
    path = [int(score.argmax())]
    for i in range(len(probabilities) - 1, 0, -1):
        path.append(int(came_from[i, path[-1]]))
    return np.array(path[::-1], np.int64)


def _fit(
    features: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Softmax regression with an L2 penalty by Nesterov's accelerated gradient descent.

    With more features than samples the weights are combinations of the samples: the descent runs
    on the (N, N) products of the samples.
    """
    products = features @ features.T
    count = len(features)
    # The loss's curvature is at most this, so the step below never overshoots.
    rate = 1.0 / (0.5 * np.linalg.norm(products, 2) / count + 0.25 + _L2)
    # weights = features.T @ alpha
    alpha, bias = np.zeros_like(targets), np.zeros(targets.shape[1])
    alpha_before, bias_before = alpha, bias
    for iteration in range(_ITERATIONS):
        momentum = iteration / (iteration + 3)
        alpha_ahead = alpha + momentum * (alpha - alpha_before)
        bias_ahead = bias + momentum * (bias - bias_before)
        error = (_softmax(products @ alpha_ahead + bias_ahead) - targets) / count
        alpha_before, bias_before = alpha, bias
        alpha = alpha_ahead - rate * (error + _L2 * alpha_ahead)
        bias = bias_ahead - rate * error.sum(axis=0)
    return features.T @ alpha, bias


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
