"""A page in the Chromium of this machine, without a window, steered by Playwright."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic")


def find_chromium() -> str | None:
    """The browser's executable, if one is installed."""
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


class HeadlessChromium:
    """One page of one browser. `async with HeadlessChromium() as page`."""

    page: Page
    _protocol: CDPSession

    def __init__(self) -> None:
        self._playwright = async_playwright()

    async def __aenter__(self) -> HeadlessChromium:
        executable = find_chromium()
        if executable is None:
            raise SystemExit("error: chromium is not installed: apt-get install chromium")
        playwright = await self._playwright.__aenter__()
        self._browser = await playwright.chromium.launch(
            executable_path=executable, args=[*FLAGS], timeout=120_000
        )
        self.page = await self._browser.new_page()
        self._protocol = await self.page.context.new_cdp_session(self.page)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._browser.close()
        await self._playwright.__aexit__(kind, error, trace)

    async def goto(self, url: str) -> None:
        """Open a page; what it loads may still come."""
        await self.page.goto(url, wait_until="commit")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return await self.page.evaluate(expression)

    async def wait_for(self, expression: str, timeout_s: float = 60.0) -> Any:
        """The expression's value as soon as it is true.

        Raises:
            TimeoutError: it was not in time.
        """
        # Playwright's own way evaluates strings in the page, which the console's policy forbids.
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not (value := await self.evaluate(expression)):
            if asyncio.get_running_loop().time() > deadline_s:
                raise TimeoutError(f"{expression}: not true within {timeout_s:g} s")
            await asyncio.sleep(0.05)
        return value

    async def size(self, width: int, height: int, scale: float = 1.0, mobile: bool = False) -> None:
        """Set the size of the window [CSS px]."""
        await self._protocol.send(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile},
        )

    async def press(self, key: str) -> None:
        """Press and release a key that writes `key`, e.g. " " or "s"."""
        await self.page.keyboard.press(key)

    async def screenshot(self, path: Path, quality: int = 60) -> None:
        """Write what the window shows, as PNG or (with this quality) JPEG by the name's ending."""
        path.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {} if path.suffix == ".png" else {"quality": quality}
        await self.page.screenshot(path=path, **options)
