"""Who may use the console: whoever sits at the machine, or knows the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from vinn.errors import ConfigError

COOKIE = "vinn_console_token"
MIN_TOKEN_LENGTH = 12
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """What a request must show.

    A page of another site must not steer the robot through the operator's browser: requests that
    change something, and the socket, must come from our own page (`Origin`), and on loopback the
    name asked for must be a loopback name (no DNS rebinding).
    """

    host: str
    """Address the server is bound to."""
    token: str
    """Empty: none is needed, which is allowed on loopback alone."""

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ConfigError(
                f"token: empty with host {self.host!r}; allowed: at least {MIN_TOKEN_LENGTH} "
                "characters, or host 127.0.0.1"
            )
        if self.token and len(self.token) < MIN_TOKEN_LENGTH:
            raise ConfigError(
                f"token: {len(self.token)} characters; allowed: at least {MIN_TOKEN_LENGTH}"
            )

    def refusal(self, headers: Mapping[str, str], given_token: str, changes: bool) -> str | None:
        """Why a request is refused, or None.

        Args:
            headers: of the request, by name as browsers write them.
            given_token: from the cookie, the query or the Authorization header.
            changes: it asks for something (or opens the socket).
        """
        if self.token and not hmac.compare_digest(given_token.encode(), self.token.encode()):
            return "the token is missing or wrong"
        asked = urlsplit(f"//{headers.get('Host', '')}")
        if not self.token and asked.hostname not in _LOOPBACK_NAMES:
            return f"host {asked.hostname!r} is not this machine"
        origin = headers.get("Origin")
        if changes and origin is not None and urlsplit(origin).netloc != asked.netloc:
            return f"asked for by another page ({origin})"
        return None
