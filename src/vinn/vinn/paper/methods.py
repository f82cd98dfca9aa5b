"""The methods of the comparison, one row each, and what the paper measured for them.

A method is an encoder and a policy on its embeddings. `vinn.paper.workspace` trains both and
gives a policy artefact; `load_policy` makes it a `Policy`. A new method is a new row here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from vinn.errors import ConfigError


class EncoderKind(str, Enum):
    """How an encoder comes to be."""

    IMAGENET = "imagenet"
    RAW_PIXELS = "raw-pixels"
    BYOL = "byol"
    BYOL_SCRATCH = "byol-scratch"
    SIMCLR = "simclr"
    VICREG = "vicreg"
    JOINT = "byol-joint"
    """BYOL on the frames of all tasks together."""
    QUIRKS = "byol-quirks"
    """BYOL with both oddities of the paper's code (`vinn.learning.config.QuirksConfig`)."""
    NORMALISED_TWICE = "byol-normalised-twice"
    """With the first of them alone."""
    BATCH_STATISTICS = "byol-batch-statistics"
    """With the second alone."""


class PolicyForm(str, Enum):
    """What answers a query."""

    RANDOM = "random"
    OPEN_LOOP = "open-loop"
    NEAREST = "nearest"
    CLONING = "bc"
    CLONING_ON_REPRESENTATION = "bc-rep"
    IMPLICIT = "ibc"
    DIFFERENCE_AWARE = "darp"


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        name: in settings and file names.
        title: in tables; the paper's wording where it has the method.
        form: what answers a query.
        encoder: whose embeddings it uses; None where it needs none or trains its own.
        seeded: whether another seed gives another result.
        bandwidth_chosen: nearest neighbours with a kernel bandwidth chosen on the training
            demonstrations, instead of the paper's 1.
    """

    name: str
    title: str
    form: PolicyForm
    encoder: EncoderKind | None = None
    seeded: bool = True
    bandwidth_chosen: bool = False
    preset: str | None = None
    """Nearest neighbours built as this policy preset says (`vinn.policies.preset`)."""
    changes: tuple[tuple[str, Any], ...] = ()
    """Settings that differ from the preset's."""


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("random", "Random", PolicyForm.RANDOM),
        Method("open-loop", "Open loop", PolicyForm.OPEN_LOOP, seeded=False),
        Method("ibc", "Implicit BC", PolicyForm.IMPLICIT, EncoderKind.IMAGENET),
        Method("bc", "BC (end to end)", PolicyForm.CLONING),
        Method("raw-pixels", "Raw pixels + NN", PolicyForm.NEAREST, EncoderKind.RAW_PIXELS, False),
        Method("byol-scratch", "BYOL + NN", PolicyForm.NEAREST, EncoderKind.BYOL_SCRATCH),
        Method("bc-rep", "BC-Rep", PolicyForm.CLONING_ON_REPRESENTATION, EncoderKind.BYOL),
        Method("vinn", "VINN (BYOL + NN)", PolicyForm.NEAREST, EncoderKind.BYOL),
        Method("vicreg", "VICReg + NN", PolicyForm.NEAREST, EncoderKind.VICREG),
        Method("simclr", "SimCLR + NN", PolicyForm.NEAREST, EncoderKind.SIMCLR),
        Method("imagenet", "ImageNet + NN", PolicyForm.NEAREST, EncoderKind.IMAGENET, False),
        Method("joint", "BYOL on all tasks + NN", PolicyForm.NEAREST, EncoderKind.JOINT),
        Method("quirks", "VINN, original quirks", PolicyForm.NEAREST, EncoderKind.QUIRKS),
        Method(
            "quirk-normalisation",
            "VINN, normalised twice",
            PolicyForm.NEAREST,
            EncoderKind.NORMALISED_TWICE,
        ),
        Method(
            "quirk-statistics",
            "VINN, batch statistics at test",
            PolicyForm.NEAREST,
            EncoderKind.BATCH_STATISTICS,
        ),
        Method(
            "vinn-bandwidth",
            "VINN, bandwidth chosen",
            PolicyForm.NEAREST,
            EncoderKind.BYOL,
            bandwidth_chosen=True,
        ),
        Method(
            "imagenet-bandwidth",
            "ImageNet + NN, bandwidth chosen",
            PolicyForm.NEAREST,
            EncoderKind.IMAGENET,
            seeded=False,
            bandwidth_chosen=True,
        ),
    )
}

_PLAIN = (("local", None), ("mirrored", False), ("select", False), ("light_copies", 0))
"""`vinn-plus` with everything off; later changes of a setting win."""


def _variant(name: str, title: str, *changes: tuple[str, Any], preset: str = "vinn-plus") -> Method:
    return Method(
        name, title, PolicyForm.NEAREST, EncoderKind.IMAGENET, False, True, preset, tuple(changes)
    )


def _darp(name: str, title: str, *changes: tuple[str, Any]) -> Method:
    return replace(_variant(name, title, *changes), form=PolicyForm.DIFFERENCE_AWARE, seeded=True)


BEYOND: dict[str, Method] = {
    method.name: method
    for method in (
        _variant("vinn-plus", "VINN-plus"),
        _darp("darp", "DARP", *_PLAIN),
        _darp("darp-plus", "DARP on the features of VINN-plus"),
        # One switch at a time, from the paper's policy with k and bandwidth chosen...
        _variant("one-select", "VINN + k, bandwidth chosen", *_PLAIN, ("select", True)),
        _variant("one-local", "VINN + local features", ("mirrored", False)),
        _variant("one-mirrored", "VINN + mirrored", ("local", None)),
        _variant("one-light", "VINN + other light", *_PLAIN, ("light_copies", 2), ("select", True)),
        _variant(
            "one-whitened",
            "VINN + whitened",
            *_PLAIN,
            ("metric", "pca-whitening"),
            ("select", True),
        ),
        _variant("one-nca", "VINN + NCA", *_PLAIN, ("metric", "nca"), ("select", True)),
        _variant("one-context", "VINN + 2 frames", *_PLAIN, ("context", 2), ("select", True)),
        _variant("one-progress", "VINN + progress", *_PLAIN, ("progress", {}), ("select", True)),
        # ... and from the combination.
        _variant("plus-paper-kernel", "VINN-plus, k 10, bandwidth 1", ("select", False)),
        _variant(
            "plus-plain-cells",
            "VINN-plus, cells as they are",
            ("local", {"stride": 8, "grid": 8, "channels": 16}),
        ),
        _variant("plus-light", "VINN-plus + other light", ("light_copies", 2)),
        _variant("plus-whitened", "VINN-plus, whitened", ("metric", "pca-whitening")),
        _variant("plus-nca", "VINN-plus + NCA", ("metric", "nca")),
        _variant("plus-context", "VINN-plus + 2 frames", ("context", 2)),
        _variant("plus-progress", "VINN-plus + progress", ("progress", {})),
    )
}
"""Rows beyond the paper (`vinn eval beyond`): `vinn-plus` and what each of its switches does."""

GRASP_POINT: dict[str, Method] = {
    method.name: method
    for method in (_variant("grasp-point", "Grasp point", preset="grasp-point"),)
}
"""Rows whose neighbours agree in where the gripper will close (`vinn eval grasp-point`)."""

ALL_METHODS = {**METHODS, **BEYOND, **GRASP_POINT}

PAPER_TABLE3: dict[str, dict[str, float]] = {
    "Door Opening": {
        "random": 6.34,
        "open-loop": 2.27,
        "ibc": 1.8,
        "byol-scratch": 1.52,
        "bc-rep": 1.19,
        "vinn": 0.92,
        "vicreg": 1.05,
        "simclr": 0.95,
        "imagenet": 0.98,
    },
    "Stacking": {
        "random": 6.13,
        "open-loop": 2.83,
        "ibc": 7.1,
        "byol-scratch": 2.82,
        "bc-rep": 3.45,
        "vinn": 2.58,
        "vicreg": 2.74,
        "simclr": 2.63,
        "imagenet": 2.85,
    },
    "Pushing": {
        "random": 6.15,
        "open-loop": 2.12,
        "ibc": 5.6,
        "byol-scratch": 2.43,
        "bc-rep": 2.20,
        "vinn": 2.43,
        "vicreg": 1.50,
        "simclr": 2.21,
        "imagenet": 2.35,
    },
}
"""Test error x 10^-1 (paper, table III), on the paper's own data: never comparable as numbers."""


def method_named(name: str) -> Method:
    """A method by its name.

    Raises:
        ConfigError: unknown name; the known ones are listed.
    """
    if name not in ALL_METHODS:
        raise ConfigError(f"method '{name}' is unknown; known: {', '.join(ALL_METHODS)}")
    return ALL_METHODS[name]
