"""Whose page asks: one of another site must not use ours through somebody's browser."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
"""A host and perhaps a port; `urlsplit` takes more."""


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def foreign(headers: Mapping[str, str], *, this_machine: bool, changes: bool) -> str | None:
    """Why a request comes from somewhere else than our own page; None: it does not.

    Args:
        headers: of the request, by name as browsers write them.
        this_machine: the name asked for must be one of this machine (no DNS rebinding).
        changes: the request changes something: where a browser says which page sent it (`Origin`),
            that must be ours.
    """
    asked = _split(f"//{headers.get('Host', '')}")
    if asked is None:
        return "the Host header is malformed"
    if this_machine and not is_loopback(asked.hostname or ""):
        return f"host {asked.hostname!r} is not this machine"
    origin = headers.get("Origin")
    if changes and origin is not None:
        page = _split(origin)
        if page is None or page.netloc.lower() != asked.netloc.lower():
            return f"asked for by another page ({origin[:200]!r})"
    return None


def _split(url: str) -> SplitResult | None:
    """None: it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if _NETLOC.fullmatch(parts.netloc) else None
