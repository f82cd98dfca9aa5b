"""The console against what browsers, scripts and strangers send: a refusal, never an error 500."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from vinn.errors import ConfigError

aiohttp = pytest.importorskip("aiohttp", reason="needs vinn[console]")

from test_console import TOKEN, FakeBackend, ask  # noqa: E402
from vinn_ros.console.access import Access  # noqa: E402
from vinn_ros.console.recordings import RecordingPages  # noqa: E402
from vinn_ros.console.server import ConsoleServer  # noqa: E402
from vinn_ros.console.token import TOKEN_VARIABLE, read_token  # noqa: E402
from vinn_ros.console.tries import FREE_TRIES, LONGEST_WAIT_S, WrongTries  # noqa: E402
from web_requests import MALFORMED_HOSTS, raw  # noqa: E402


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Site:
    """A console, and raw requests to it."""

    def __init__(self, folder: Path, token: str = "", host: str = "127.0.0.1") -> None:
        self.backend, self.clock = FakeBackend(), Clock()
        self.backend.release.set()
        access = Access(host, token, WrongTries(self.clock))
        self.server = ConsoleServer(self.backend, access, 0, RecordingPages(folder, lambda: ""))
        self.server.start()
        self.port = urlsplit(self.server.url).port

    def raw(self, method: str, path: str, *headers: bytes, body: bytes = b"") -> int:
        """The status of a request that no library would send; 0: none."""
        return raw(self.server.url, method, path, *headers, body=body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.server.stop()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, TOKEN)
    yield site
    site.server.stop()


@pytest.mark.parametrize("value", MALFORMED_HOSTS)
def test_malformed_hosts_and_origins_are_refused(site: Site, guarded: Site, value: bytes) -> None:
    local = f"Host: 127.0.0.1:{site.port}".encode()
    for method, path in (("POST", "/stop"), ("GET", "/socket"), ("POST", "/do/reset")):
        assert 400 <= site.raw(method, path, b"Host: " + value) < 500
        origin = b"Origin: http://" + value
        assert 400 <= site.raw(method, path, local, origin) < 500
        right = f"Authorization: Bearer {TOKEN}".encode()
        assert 400 <= guarded.raw(method, path, local, right, b"Origin: " + value) < 500
    assert site.backend.stops == guarded.backend.stops == []


@pytest.mark.parametrize("seed", range(6))
def test_random_headers_never_reach_the_robot_or_an_error(site: Site, seed: int) -> None:
    rng = np.random.default_rng(seed)
    printable = np.frombuffer(bytes(range(33, 127)) + b"\x80\xc3\xff", np.uint8)
    for _ in range(20):
        value = rng.choice(printable, rng.integers(1, 40)).tobytes()
        host = f"Host: localhost:{site.port}".encode()
        assert 400 <= site.raw("POST", "/stop", host, b"Origin: http://[" + value) < 500
        assert 400 <= site.raw("POST", "/stop", b"Host: [" + value) < 500
    assert site.backend.stops == []


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 8000,
        b'{"a":' * 2700,
        b"\xff\xfe\x00",
        b"nul\x00l",
        b"{" * 16000,
        b'{"name": "\xff"}',
        b"1e999999",
    ],
)
def test_bodies_that_are_no_object_are_refused(site: Site, body: bytes) -> None:
    host = f"Host: 127.0.0.1:{site.port}".encode()
    for kind in (b"application/json", b"application/json; charset=klingon", b"text/plain"):
        header = b"Content-Type: " + kind
        assert 400 <= site.raw("POST", "/do/start", host, header, body=body) < 500
    assert site.backend.asked == []


@pytest.mark.parametrize("length", [101, 255, 256, 300, 4000])
def test_long_recording_names_are_not_found(site: Site, length: int) -> None:
    assert ask(site.server, "GET", "recordings/" + "r" * length)[0] == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.255.0.7", "localhost"])
def test_every_loopback_address_that_is_accepted_works(tmp_path: Path, host: str) -> None:
    site = Site(tmp_path, host=host)
    try:
        assert ask(site.server, "POST", "stop")[0] == 200
        assert ask(site.server, "POST", "stop", headers={"Host": "evil.example"})[0] == 403
        assert len(site.backend.stops) == 1
    finally:
        site.server.stop()


@pytest.mark.parametrize("host", ["127.0.0.1.", "256.0.0.1", "a..b", "x" * 300, "localhost:80"])
def test_a_host_that_is_none_is_refused_at_start(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"host|port"):
        Site(tmp_path, TOKEN, host)


def test_what_is_too_long_is_refused_whole(site: Site) -> None:
    host = f"Host: 127.0.0.1:{site.port}".encode()
    kind = b"Content-Type: application/json"
    for length, status in ((16 * 2**10 - 1, 202), (16 * 2**10 + 1, 413), (2**20, 413)):
        body = b'{"name": "x"}'.ljust(length)
        assert site.raw("POST", "/do/start", host, kind, body=body) == status
    assert site.backend.asked == [("start", {"name": "x"})]


# The token


@pytest.mark.parametrize(
    "given", [b"wrong-but-long-enough", b"\xff\xfe", "schlüssel".encode(), b"a" * 5000]
)
def test_tokens_that_are_none_are_refused(guarded: Site, given: bytes) -> None:
    host = f"Host: 127.0.0.1:{guarded.port}".encode()
    for header in (b"Authorization: Bearer ", b"Cookie: vinn_console_session="):
        assert guarded.raw("POST", "/stop", host, header + given) == 403
    assert guarded.backend.stops == []


def test_guessing_is_slowed_down_and_whoever_is_in_stays_in(guarded: Site) -> None:
    """The clock stands still: what counts is how long the server says that one has to wait."""
    server = guarded.server

    async def scenario() -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as operator, aiohttp.ClientSession() as x:
            async with operator.get(server.url, params={"token": TOKEN}) as answer:
                assert answer.status == 200

            async def guess(token: str) -> int:
                headers = {"Authorization": f"Bearer {token}"}
                async with x.post(server.url + "stop", headers=headers) as answer:
                    return answer.status

            for number in range(FREE_TRIES):
                assert await guess(f"wrong-token-{number:04d}") == 403
            waits = []
            for _ in range(4):
                assert await guess(TOKEN) == 429  # not even the right one
                waits.append(guarded.clock.now_s)
                guarded.clock.now_s += server._access.tries.wait_s("127.0.0.1")
                assert await guess("wrong-token-again") == 403
            assert np.diff(waits).tolist() == [1.0, 2.0, 4.0]
            # Stop stays in reach of whoever showed the token before.
            async with operator.post(server.url + "stop") as answer:
                assert answer.status == 200
            guarded.clock.now_s += LONGEST_WAIT_S
            assert await guess(TOKEN) == 200
            assert await guess("wrong-token-0000") == 403  # counted anew

    asyncio.run(asyncio.wait_for(scenario(), 60.0))
    assert len(guarded.backend.stops) == 2


def test_wrong_tries_are_counted_by_machine_and_the_memory_is_bounded() -> None:
    clock = Clock()
    tries = WrongTries(clock)
    for number in range(FREE_TRIES):
        tries.wrong(f"2001:db8::{number:x}")
    assert tries.wait_s("2001:db8::ffff") > 0.0
    assert tries.wait_s("2001:db8:0:1::1") == 0.0
    for number in range(5000):
        tries.wrong(f"10.0.{number // 250}.{number % 250}")
    assert len(tries._tries) <= 1000
    for _ in range(200):
        tries.wrong("10.1.1.1")
    assert tries.wait_s("10.1.1.1") == LONGEST_WAIT_S


def test_the_token_comes_from_a_file_of_ones_own_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token("") == ""
    monkeypatch.setenv(TOKEN_VARIABLE, "from-the-environment")
    assert read_token("") == "from-the-environment"
    file = tmp_path / "token"
    file.write_text("from-the-file-01\n")
    file.chmod(0o600)
    assert read_token(str(file)) == "from-the-file-01"
    for mode in (0o644, 0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(ConfigError, match=f"mode {mode:03o} lets others read it"):
            read_token(str(file))
    file.chmod(0o600)
    for text in (
        "short",
        "",
        "x" * 300,
        "schlüssel-schlüssel",
        "two words and more",
        'a;b=c,d\\e"f',
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match="token_file") as refused:
            read_token(str(file))
        assert not text or text not in str(refused.value), "the token is never shown"
    for missing in (str(tmp_path / "none"), str(tmp_path), "y" * 5000, "nul\0"):
        with pytest.raises(ConfigError, match="token_file"):
            read_token(missing)


def test_neither_parameters_nor_repr_show_the_token() -> None:
    from vinn_ros.console.node import OperatorConsoleNode

    assert "token" not in {parameter.name for parameter in OperatorConsoleNode.PARAMETERS}
    assert TOKEN not in repr(Access("127.0.0.1", TOKEN))
