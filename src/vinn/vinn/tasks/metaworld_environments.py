"""The environments of Meta-World, version 3, by name: known without importing the simulator."""

from __future__ import annotations

ENVIRONMENTS = tuple(
    f"{name}-v3"
    for name in [
        "assembly",
        "basketball",
        "bin-picking",
        "box-close",
        "button-press",
        "button-press-topdown",
        "button-press-topdown-wall",
        "button-press-wall",
        "coffee-button",
        "coffee-pull",
        "coffee-push",
        "dial-turn",
        "disassemble",
        "door-close",
        "door-lock",
        "door-open",
        "door-unlock",
        "drawer-close",
        "drawer-open",
        "faucet-close",
        "faucet-open",
        "hammer",
        "hand-insert",
        "handle-press",
        "handle-press-side",
        "handle-pull",
        "handle-pull-side",
        "lever-pull",
        "peg-insert-side",
        "peg-unplug-side",
        "pick-out-of-hole",
        "pick-place",
        "pick-place-wall",
        "plate-slide",
        "plate-slide-back",
        "plate-slide-back-side",
        "plate-slide-side",
        "push",
        "push-back",
        "push-wall",
        "reach",
        "reach-wall",
        "shelf-place",
        "soccer",
        "stick-pull",
        "stick-push",
        "sweep",
        "sweep-into",
        "window-close",
        "window-open",
    ]
)

HOLDING = frozenset(
    f"{name}-v3"
    for name in [
        "assembly",
        "basketball",
        "bin-picking",
        "coffee-pull",
        "coffee-push",
        "disassemble",
        "hammer",
        "handle-pull-side",
        "peg-unplug-side",
        "pick-out-of-hole",
        "pick-place",
        "pick-place-wall",
        "push",
        "push-back",
        "push-wall",
        "stick-pull",
        "stick-push",
        "sweep",
    ]
)
"""Those whose experts close the fingers around a thing, so that fingers that meet hold nothing."""
