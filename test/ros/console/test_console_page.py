"""The console's page in a browser: keys, a Stop past everything that hangs, a phone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs vinn[console]")

from test_console import FakeBackend
from vinn.demos.frames import encode_jpeg
from vinn_ros.console.access import Access
from vinn_ros.console.backend import Picture
from vinn_ros.console.recordings import RecordingPages
from vinn_ros.console.server import ConsoleServer

from measure.headless_chromium import HeadlessChromium, find_chromium

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
            await page.goto(server.url)
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
            ("s", "start", {"name": "oak", "max_steps": 0, "attempts": 0}),
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


def test_the_grasp_point_lies_over_the_wrist_picture_and_attempts_are_counted(
    backend: FakeBackend, tmp_path: Path
) -> None:
    picture = np.full((48, 64, 3), 90, np.uint8)
    nothing = SimpleNamespace(x=0.0, y=0.0, z=0.0)
    said = SimpleNamespace(
        sequence=1, policy="p@1", camera_delta=nothing, action_scale="metric",
        gripper_value=1.5, novelty=0.5, preprocess_latency_s=0.001,
        encode_latency_s=0.02, retrieve_latency_s=0.0, image_age_s=0.05, neighbors=[],
        has_grasp_point=True, grasp_point=SimpleNamespace(x=0.01, y=-0.02, z=0.125),
        grasp_point_std=SimpleNamespace(x=0.004, y=0.005, z=0.03),
        grasp_point_uv=[0.75, 0.25], grasp_point_uv_std=[0.125, 0.0625],
    )  # fmt: skip
    tried = SimpleNamespace(
        state=1, reason="NONE", message="", sequence=4, requested_base_delta=nothing,
        sent_base_delta=nothing, gripper_closed=False, attempt=2, attempts=3, missed=True,
    )  # fmt: skip
    running = SimpleNamespace(
        state=3, reason="NONE", message="", session="s", step=2, max_steps=9, outcome=0,
        recording="", elapsed_s=1.25, driven=False,
    )  # fmt: skip
    where = """(() => {
      const of = (node) => { const b = node.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; };
      const image = document.getElementById('wrist'), svg = document.getElementById('grasp');
      const cross = svg.querySelector('path'), around = svg.querySelector('ellipse');
      return { image: of(image), cross: cross && of(cross), around: around && of(around),
               hidden: svg.hasAttribute('hidden'), attempts: document.getElementById('attempts').textContent,
               facts: document.getElementById('prediction').textContent };
    })()"""  # noqa: E501

    async def use(page: HeadlessChromium) -> None:
        backend.board.take_supervisor(running)
        backend.board.take_executor(tried)
        backend.board.take_prediction(said)
        backend.picture = Picture(8, encode_jpeg(picture))
        await page.wait_for("document.getElementById('wrist').naturalWidth == 64")
        await page.wait_for("!document.getElementById('grasp').hasAttribute('hidden')")
        seen = await page.evaluate(where)
        left, top, width, height = seen["image"]
        # The picture is 4 : 3 and stands in the middle of its box.
        scale = min(width / 64, height / 48)
        x = left + (width - 64 * scale) / 2 + 0.75 * 64 * scale
        y = top + (height - 48 * scale) / 2 + 0.25 * 48 * scale
        for name, wide in (("cross", 0.09 * 48 * scale), ("around", 2 * 0.125 * 64 * scale)):
            box = seen[name]
            assert abs(box[0] + box[2] / 2 - x) < 2 and abs(box[1] + box[3] / 2 - y) < 2
            assert abs(box[2] - wide) < 6
        assert (seen["hidden"], seen["attempts"]) == (False, "attempt 2 of 3, missed")
        assert "0.010 ±0.004, -0.020 ±0.005, 0.125 ±0.030" in seen["facts"]
        said.has_grasp_point = False
        backend.board.take_prediction(said)
        await page.wait_for("document.getElementById('grasp').hasAttribute('hidden')")

    in_browser(backend, tmp_path, use)


def test_driving_by_keys_and_buttons_by_the_step_that_is_shown(
    backend: FakeBackend, tmp_path: Path
) -> None:
    backend.release.set()
    nothing = SimpleNamespace(x=0.0, y=0.0, z=0.0)
    running = SimpleNamespace(
        state=3, reason="NONE", message="", session="s", step=2, max_steps=9, outcome=0,
        recording="", elapsed_s=1.25, driven=False,
    )  # fmt: skip
    hand = SimpleNamespace(
        state=0, reason="NONE", message="", sequence=4, requested_base_delta=nothing,
        sent_base_delta=nothing, gripper_closed=False, attempt=0, attempts=3, missed=False,
    )  # fmt: skip

    async def use(page: HeadlessChromium) -> None:
        async def asked(count: int) -> tuple[str, dict[str, Any]]:
            await until(lambda: len(backend.asked) == count)
            await page.wait_for(f"document.querySelectorAll('#notes li.yes').length == {count}")
            return backend.asked[-1]

        backend.board.take_supervisor(running)
        backend.board.take_executor(hand)
        await page.wait_for("document.getElementById('state').dataset.state == 'RUNNING'")
        # While the policy has control, arrows mean nothing, and there is nothing to press.
        assert await page.evaluate("document.getElementById('pad').hidden")
        await page.press("ArrowUp")
        await page.press("t")
        assert await asked(1) == ("take_over", {"mine": True})
        running.driven = True
        backend.board.take_supervisor(running)
        await page.wait_for("!document.getElementById('pad').hidden")
        await page.press("ArrowUp")
        step = {"session": "s", "after_step": 2, "close": False, "camera_delta": [0, 0, 0.02]}
        assert await asked(2) == ("drive", step)
        # Not shown yet that it was done: the same step, which the supervisor refuses.
        await page.evaluate("document.querySelector('[data-move=\"-1,0,0\"]').click()")
        assert await asked(3) == ("drive", {**step, "camera_delta": [-0.02, 0, 0]})
        running.step = 3
        backend.board.take_supervisor(running)
        await page.wait_for("document.getElementById('steps').textContent == 'step 3 of 9'")
        await page.evaluate("document.getElementById('step-mm').value = 30")
        await page.press("PageUp")
        assert (await asked(4))[1]["camera_delta"] == [0, -0.03, 0]
        assert (await asked(4))[1]["after_step"] == 3
        await page.press("g")
        closing = {"session": "s", "after_step": 3, "close": True, "camera_delta": [0, 0, 0]}
        assert (await asked(5))[1] == closing
        hand.gripper_closed = True
        backend.board.take_executor(hand)
        await page.wait_for("document.getElementById('grip-word').textContent == 'Open gripper'")
        await page.press("ArrowDown")  # what is held stays held
        assert (await asked(6))[1]["close"] is True
        await page.press("t")
        assert await asked(7) == ("take_over", {"mine": False})
        await page.press(" ")
        await until(lambda: len(backend.stops) == 2)

    in_browser(backend, tmp_path, use)


def test_a_rollout_by_hand_is_begun_on_the_page(backend: FakeBackend, tmp_path: Path) -> None:
    backend.release.set()

    async def use(page: HeadlessChromium) -> None:
        await page.evaluate("document.getElementById('name').value = 'by hand'")
        await page.evaluate("document.querySelector('[data-do=drive-start]').click()")
        await until(lambda: backend.asked)
        asked = {"name": "by hand", "max_steps": 500, "attempts": 0, "driven": True}
        assert backend.asked == [("start", asked)]

    in_browser(backend, tmp_path, use)
