"""All kinds of policies by name; a package adds its own in the group "vinn.policies"."""

from __future__ import annotations

from typing import Any

from vinn.policies.kinds.kind import PolicyKind
from vinn.registry import Registry

POLICY_KINDS: Registry[PolicyKind[Any]] = Registry(
    "policy kind",
    "vinn.policies",
    PolicyKind,
    {
        name: f"vinn.policies.kinds.{name}:KIND"
        for name in ("vinn", "darp", "bc", "ibc", "open_loop", "random")
    },
)
