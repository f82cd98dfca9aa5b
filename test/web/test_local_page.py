"""A page on this machine answers this machine's browser and its own page, and nobody else."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

pytest.importorskip("aiohttp", reason="needs vinn[console]")

from vinn.errors import ConfigError
from vinn.web.local_page import Answer, LocalPage
from web_requests import MALFORMED_HOSTS, raw

MAX_BODY = 70_000
PNG = b"Content-Type: image/png"


class Page(LocalPage):
    """Shows the way that was asked for; keeps what is posted unless it says that it is bad."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port, "image/png", MAX_BODY)
        self.asked: list[list[str]] = []
        self.taken: list[bytes] = []

    def get(self, parts: list[str]) -> Answer | None:
        self.asked.append(parts)
        if parts == ["none"]:
            return None
        if parts == ["bad"]:
            raise ConfigError("no such clip")
        return Answer("text/plain; charset=utf-8", "|".join(parts).encode())

    def post(self, body: bytes) -> None:
        if body == b"bad":
            raise ConfigError("no such mask")
        self.taken.append(body)


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    page.start()
    yield page
    page.stop()


def host(page: Page) -> bytes:
    return b"Host: " + urlsplit(page.url).netloc.encode()


def chunked(body: bytes, size: int = 9000) -> bytes:
    parts = [body[begin : begin + size] for begin in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_paths_arrive_as_they_were_meant(page: Page) -> None:
    def fetch(path: str) -> tuple[str, str]:
        answer = urllib.request.urlopen(page.url + path, timeout=20)
        return answer.headers["Content-Type"], answer.read().decode()

    assert fetch("") == ("text/plain; charset=utf-8", "")
    assert fetch("image/a%20b/3?at=1") == ("text/plain; charset=utf-8", "image|a b|3")
    assert fetch("image/..%2F..%2Fetc/%C3%A4")[1] == "image|../../etc|ä"
    for missing, why in (("none", "no such page"), ("bad", "no such clip")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(missing)
        assert (refused.value.code, refused.value.read().decode()) == (404, why)


@pytest.mark.parametrize("value", [*MALFORMED_HOSTS, b"evil.example", b"127.0.0.1.evil.example"])
def test_under_another_name_nothing_is_shown_and_nothing_taken(page: Page, value: bytes) -> None:
    """A site whose name is made to lead to this machine (DNS rebinding) sees no film of ours."""
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
        assert 400 <= raw(page.url, method, "/frames", b"Host: " + value, PNG, body=b"x") < 500
    assert page.asked == page.taken == []


@pytest.mark.parametrize("value", [*MALFORMED_HOSTS, b"evil.example", b"127.0.0.1:1", b"null"])
def test_pages_of_others_post_nothing(page: Page, value: bytes) -> None:
    for scheme in (b"http://", b"https://", b""):
        origin = b"Origin: " + scheme + value
        assert 400 <= raw(page.url, "POST", "/mask", host(page), PNG, origin, body=b"x") < 500
    assert page.taken == []
    own = b"Origin: " + page.url.rstrip("/").encode()
    assert raw(page.url, "POST", "/mask", host(page), PNG, own, body=b"x") == 200
    assert page.taken == [b"x"]


@pytest.mark.parametrize("name", [b"localhost", b"127.0.0.1", b"[::1]", b"127.8.8.8", b"LocalHost"])
def test_names_of_this_machine_are_answered(page: Page, name: bytes) -> None:
    assert raw(page.url, "GET", "/", b"Host: " + name + b":4711") == 200


def test_what_is_too_long_is_refused_whole(page: Page) -> None:
    """Cut off at the limit, a JPEG or a JSON could still be one."""
    # Before aiohttp 3.9 the limit itself is too long.
    for length, status in ((MAX_BODY - 1, 200), (MAX_BODY + 1, 413), (40 * MAX_BODY, 413)):
        body = b"x" * length
        page.taken.clear()
        assert raw(page.url, "POST", "/mask", host(page), PNG, body=body) == status
        transfer = b"Transfer-Encoding: chunked"
        sent = chunked(body)
        assert raw(page.url, "POST", "/mask", host(page), PNG, transfer, body=sent) == status
        assert page.taken == ([body, body] if status == 200 else [])


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (b"image/png", b"bad", 400),
        (b"text/plain", b"x", 415),
        (b"application/x-www-form-urlencoded", b"x", 415),
        (b"multipart/form-data", b"x", 415),
        (b"", b"x", 415),
        (b"image/png; charset=utf-8", b"x", 200),
    ],
)
def test_what_a_form_of_another_site_could_send_is_refused(
    page: Page, kind: bytes, body: bytes, status: int
) -> None:
    header = b"Content-Type: " + kind
    assert raw(page.url, "POST", "/mask", host(page), header, body=body) == status
    assert page.taken == ([body] if status == 200 else [])


def test_every_answer_keeps_browsers_from_fetching_elsewhere(page: Page) -> None:
    for path, accepted in (("", True), ("none", False)):
        try:
            headers = urllib.request.urlopen(page.url + path, timeout=20).headers
            assert accepted
        except urllib.error.HTTPError as refused:
            assert not accepted
            headers = refused.headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"


def test_a_port_is_refused_while_it_is_taken_and_free_after_the_end() -> None:
    first = Page()
    first.start()
    port = urlsplit(first.url).port
    assert port is not None
    with pytest.raises(ConfigError, match=rf"port: 127\.0\.0\.1:{port} cannot be used"):
        Page(port).start()
    with pytest.raises(ConfigError, match="cannot be used"):
        Page(70_000).start()
    before = threading.active_count()
    first.stop()
    assert threading.active_count() < before
    again = Page(port)
    again.start()
    assert raw(again.url, "GET", "/", host(again)) == 200
    again.stop()


def test_the_end_waits_for_no_slow_answer() -> None:
    """A request under way neither hangs the end nor is its answer waited for."""
    release, begun = threading.Event(), threading.Event()

    class Slow(Page):
        def get(self, parts: list[str]) -> Answer | None:
            begun.set()
            release.wait(60.0)
            return None

    page = Slow()
    page.start()
    asking = threading.Thread(target=lambda: raw(page.url, "GET", "/", host(page)))
    asking.start()
    assert begun.wait(20.0)
    page.stop()
    asking.join(20.0)
    assert not asking.is_alive() and not release.is_set()
    release.set()
