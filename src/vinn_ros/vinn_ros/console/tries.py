"""Tokens cannot be guessed at the speed of the network: wrong tries make an address wait."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

FREE_TRIES = 5
"""Wrong ones that cost nothing: people mistype."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
_REMEMBERED = 1000


class WrongTries:
    """Counts wrong tries by address; for one thread. Each one too many doubles the wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: seconds that never jump."""
        self._clock = clock
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Wrong tries of an address, and when the next one is allowed."""

    def wait_s(self, address: str) -> float:
        """How long this address has to wait until its next try; 0: it need not."""
        _, allowed_s = self._tries.get(_place(address), (0, 0.0))
        return max(0.0, allowed_s - self._clock())

    def wrong(self, address: str) -> None:
        """A wrong token came from there."""
        place = _place(address)
        count = self._tries.pop(place, (0, 0.0))[0] + 1
        doublings = count - FREE_TRIES
        wait_s = (
            0.0 if doublings < 0 else min(FIRST_WAIT_S * 2.0 ** min(doublings, 30), LONGEST_WAIT_S)
        )
        self._tries[place] = (count, self._clock() + wait_s)
        while len(self._tries) > _REMEMBERED:
            self._tries.popitem(last=False)

    def right(self, address: str) -> None:
        """The right one came from there."""
        self._tries.pop(_place(address), None)


def _place(address: str) -> str:
    """An address; of IPv6 the network, in which one machine may have as many as it likes."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)
