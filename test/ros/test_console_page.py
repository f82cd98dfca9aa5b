"""The console's page in a browser: keys, a Stop past everything that hangs, a phone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs vinn[console]")

from headless_chromium import HeadlessChromium, find_chromium
from test_console import FakeBackend
from vinn_ros.console.access import Access
from vinn_ros.console.recordings import RecordingPages
from vinn_ros.console.server import ConsoleServer

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no chromium is installed")

_POLL_S = 0.05
_DEADLINE_S = 120.0
CONNECTED = "document.body && document.body.dataset.link == 'on'"


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend()
    yield backend
    backend.release.set()


@contextlib.asynccontextmanager
async def opened(backend: FakeBackend, folder: Path) -> AsyncIterator[HeadlessChromium]:
    """The page, connected."""
    pages = RecordingPages(folder, lambda: "")
    server = ConsoleServer(backend, Access("127.0.0.1", ""), 0, pages)
    server.start()
    try:
        async with HeadlessChromium() as page:
            await page.size(1280, 860)
            await page.call("Page.navigate", url=server.url)
            await page.wait_for(CONNECTED)
            yield page
    finally:
        server.stop()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(_POLL_S)


def in_browser(
    backend: FakeBackend, folder: Path, use: Callable[[HeadlessChromium], Awaitable[None]]
) -> None:
    async def run() -> None:
        async with opened(backend, folder) as page:
            await use(page)

    asyncio.run(asyncio.wait_for(run(), _DEADLINE_S))


def told(**values: str) -> SimpleNamespace:
    """Diagnostics of the supervisor."""
    entries = [SimpleNamespace(key=key, value=value) for key, value in values.items()]
    status = SimpleNamespace(name="/rollout_supervisor", level=b"\x00", message="", values=entries)
    return SimpleNamespace(status=[status])


def test_every_key_does_what_the_manual_says(backend: FakeBackend, tmp_path: Path) -> None:
    backend.release.set()

    async def use(page: HeadlessChromium) -> None:
        await page.evaluate("document.getElementById('name').value = 'oak'")
        await page.evaluate("document.getElementById('note').value = 'well done'")
        expected: list[tuple[str, dict[str, Any]]] = []
        for key, command, arguments in (
            ("r", "reset", {}),
            ("e", "ready", {}),
            ("s", "start", {"name": "oak", "max_steps": 0}),
            ("n", "step", {}),
            ("c", "clear_latch", {}),
            ("y", "label", {"success": True, "note": "well done"}),
            ("f", "label", {"success": False, "note": "well done"}),
        ):
            await page.press(key)
            expected.append((command, arguments))
            number = len(expected)
            await until(lambda count=number: len(backend.asked) == count)
            # The next of its kind is refused while one is under way.
            await page.wait_for(f"document.querySelectorAll('#notes li.yes').length == {number}")
        assert backend.asked == expected
        for count, key in ((1, " "), (2, "Escape")):
            await page.press(key)
            # Through the socket and as a request.
            await until(lambda count=count: len(backend.stops) == 2 * count)
        # Whoever types a name means its letters; Escape stops even then.
        await page.evaluate("document.getElementById('name').focus()")
        for key in ("r", " ", "Escape"):
            await page.press(key)
        await until(lambda: len(backend.stops) == 6)
        assert len(backend.asked) == len(expected)

    in_browser(backend, tmp_path, use)


def test_stop_goes_past_calls_that_hang(backend: FakeBackend, tmp_path: Path) -> None:
    async def use(page: HeadlessChromium) -> None:
        for count, key in enumerate("rsny", 1):
            await page.press(key)
            await until(lambda count=count: len(backend.asked) == count)
        await page.evaluate("document.getElementById('stop').click()")
        await until(lambda: len(backend.stops) == 2)
        assert not backend.release.is_set()

    in_browser(backend, tmp_path, use)


def test_what_waits_for_the_operator_is_shown(backend: FakeBackend, tmp_path: Path) -> None:
    async def use(page: HeadlessChromium) -> None:
        assert await page.evaluate("document.getElementById('ready').hidden")
        backend.board.take_diagnostics(told(waiting_for_environment="True"))
        await page.wait_for("!document.getElementById('ready').hidden")
        await page.evaluate("document.getElementById('ready').click()")
        await until(lambda: backend.asked == [("ready", {})])
        backend.board.take_diagnostics(
            told(waiting_for_environment="False", waiting_for_step="True")
        )
        await page.wait_for("document.getElementById('ready').hidden")
        await page.wait_for("document.getElementById('step').classList.contains('waiting')")

    in_browser(backend, tmp_path, use)


def test_on_a_phone_nothing_is_cut_off_and_stop_is_in_reach(
    backend: FakeBackend, tmp_path: Path
) -> None:
    async def use(page: HeadlessChromium) -> None:
        await page.size(360, 740, 2, mobile=True)
        backend.board.take_parameters({"k": 5, "scale_up": -1.0, "gripper_close_above": -1.0})
        await page.wait_for("document.querySelectorAll('.setting').length == 3")
        seen = await page.evaluate(
            """(() => {
              const box = (e) => e.getBoundingClientRect();
              const stop = box(document.getElementById('stop'));
              const first = ['reset', 'start', 'step'].map((name) =>
                box(document.querySelector(`[data-do=${name}]`)).bottom);
              window.scrollTo(0, document.documentElement.scrollHeight);
              const last = box(document.querySelector('.side').lastElementChild);
              const buttons = [...document.querySelectorAll('.buttons button')]
                .filter((button) => !button.hidden);
              return {
                width: document.documentElement.scrollWidth,
                stop: [stop.left >= 0, stop.right <= innerWidth, stop.bottom <= innerHeight],
                stopHeight: stop.height,
                first: Math.max(...first) <= stop.top,
                free: last.bottom <= stop.top,
                lowest: Math.min(...buttons.map((button) => box(button).height)),
              };
            })()"""
        )
        assert seen["width"] <= 360
        assert seen["stop"] == [True, True, True]
        assert seen["stopHeight"] >= 60
        assert seen["first"], "what a rollout needs is in sight without scrolling"
        assert seen["free"], "the last card can be scrolled out from under Stop"
        assert seen["lowest"] >= 44, "large enough for a finger"

    in_browser(backend, tmp_path, use)
