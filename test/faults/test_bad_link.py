"""The network that delays, loses and is cut, which measure.network measures with."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from measure.network.bad_link import BadLink, Settings, enter, two_hosts

PORT = 47000
FIRST, SECOND = f"vinn-test-a{os.getpid()}", f"vinn-test-b{os.getpid()}"
_ANSWER_S = 5.0


class Echo:
    """Asks and is answered across the link: one thread lives on either side."""

    def __init__(self, link: BadLink, first: str, second: str) -> None:
        self.link = link
        self.here, self.there = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.there.submit(enter, second).result()
        self.here.submit(enter, first).result()
        self.socket = self.here.submit(_bound, "10.77.0.1").result()
        self.answerer = self.there.submit(_bound, "10.77.0.2").result()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                data, address = self.answerer.recvfrom(65536)
                self.answerer.sendto(data, address)

    def ask(self, size: int, timeout_s: float = _ANSWER_S) -> float | None:
        """Seconds until the answer to so many bytes; None: there is none."""
        began_s = time.monotonic()
        self.socket.settimeout(timeout_s)
        self.socket.sendto(bytes(size), ("10.77.0.2", PORT))
        try:
            answer = self.socket.recv(65536)
        except TimeoutError:
            return None
        assert len(answer) == size
        return time.monotonic() - began_s

    def close(self) -> None:
        self.socket.close()
        self.answerer.close()


def _bound(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, PORT))
    return made


@pytest.fixture
def echo() -> Iterator[Echo]:
    try:
        hosts = two_hosts(FIRST, SECOND)
        link = hosts.__enter__()
    except SystemExit as why:
        pytest.skip(str(why))
    try:
        echo = Echo(link, FIRST, SECOND)
        yield echo
        echo.close()
    finally:
        hosts.__exit__(None, None, None)


def test_everything_arrives_whole_and_late_by_the_delay(echo: Echo) -> None:
    for size in (1, 1400, 20_000):  # the last one in fourteen pieces
        assert echo.ask(size) is not None
    echo.link.be(Settings(delay_s=0.05))
    waits_s = [echo.ask(1000) for _ in range(5)]
    assert all(wait_s is not None and wait_s >= 0.1 for wait_s in waits_s)


def test_a_cut_cable_and_its_return(echo: Echo) -> None:
    assert echo.ask(10) is not None
    echo.link.be(Settings(cut=True))
    assert echo.ask(10, 0.3) is None
    echo.link.be(Settings())
    assert echo.ask(10) is not None


def test_frames_are_lost_at_the_rate_that_was_asked_for(echo: Echo) -> None:
    assert echo.ask(10) is not None  # both know each other's addresses
    before = np.array(echo.link.be(Settings(loss=0.3)))
    for _ in range(400):
        echo.socket.sendto(b"x", ("10.77.0.2", PORT))
    deadline_s = time.monotonic() + 20.0
    while True:
        taken, lost = (np.array(echo.link.be(Settings(loss=0.3))) - before)[0]
        if taken >= 400 or time.monotonic() > deadline_s:
            break
    assert taken >= 400
    # Seeded: 30 % within four standard deviations.
    assert abs(lost / taken - 0.3) < 4 * (0.3 * 0.7 / taken) ** 0.5


def test_little_room_makes_what_is_large_late(echo: Echo) -> None:
    assert echo.ask(10) is not None
    echo.link.be(Settings(rate_bit_s=1e6))
    wait_s = echo.ask(25_000)
    # 25 kB there and back at a megabit per second.
    assert wait_s is not None
    assert wait_s >= 2 * 8 * 25_000 / 1e6
