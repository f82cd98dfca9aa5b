"""Who may use the console: whoever sits at the machine, or knows the token."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from vinn.errors import ConfigError
from vinn.web.origin import foreign, is_loopback

from vinn_ros.console.token import MIN_LENGTH, TOKEN_VARIABLE
from vinn_ros.console.tries import WrongTries

COOKIE = "vinn_console_session"
_SESSIONS = 100


@dataclass(frozen=True)
class Refused:
    """Why a request is refused."""

    message: str
    wait_s: float = 0.0
    """Too many wrong tries came from there: so long it has to wait."""


@dataclass(frozen=True)
class Access:
    """What a request must show. For one thread.

    A page of another site must not steer the robot through the operator's browser: requests that
    change something, and the socket, must come from our own page (`Origin`), and on loopback the
    name asked for must be a loopback name (no DNS rebinding).

    Whoever showed the token once has a cookie that nobody can guess and is not slowed down by the
    wrong tries of others: Stop must stay in reach.
    """

    host: str
    """Address the server is bound to."""
    token: str = field(repr=False)
    """Empty: none is needed, which is allowed on loopback alone."""
    tries: WrongTries = field(default_factory=WrongTries, repr=False)
    _sessions: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ConfigError(
                f"token_file: empty with host {self.host!r}; allowed: a file with at least "
                f"{MIN_LENGTH} characters, {TOKEN_VARIABLE}, or host 127.0.0.1"
            )

    def new_session(self) -> str:
        """A cookie for somebody who showed the token."""
        session = secrets.token_urlsafe(32)
        self._sessions[session] = None
        while len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def refusal(
        self, headers: Mapping[str, str], cookie: str, given: str, address: str, changes: bool
    ) -> Refused | None:
        """Why a request is refused, or None.

        Args:
            headers: of the request, by name as browsers write them.
            cookie: as `new_session` made it; empty: none.
            given: a token, from the link or the Authorization header; empty: none.
            address: where the request comes from.
            changes: it asks for something (or opens the socket).
        """
        if self.token and cookie not in self._sessions:
            refused = self._try(given, address)
            if refused is not None:
                return refused
        why = foreign(headers, this_machine=not self.token, changes=changes)
        return None if why is None else Refused(why)

    def _try(self, given: str, address: str) -> Refused | None:
        wait_s = self.tries.wait_s(address)
        if wait_s > 0.0:
            return Refused(f"too many wrong tokens: wait {wait_s:.0f} s", wait_s)
        # Header bytes that are no text come as lone surrogates.
        shown = given.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, self.token.encode()):
            if given:
                self.tries.wrong(address)
            return Refused("the token is missing or wrong")
        self.tries.right(address)
        return None
