"""A headless Chromium steered through its DevTools protocol, with aiohttp alone."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_START_S = 60.0


def find_chromium() -> str | None:
    """The browser's executable, if one is installed."""
    return next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


class HeadlessChromium:
    """One page of one browser. `async with HeadlessChromium() as page`."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(
            prefix="chromium-",
            # Its helpers may still write while it ends.
            ignore_cleanup_errors=True,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._socket: Any = None
        self._number = 0

    async def __aenter__(self) -> HeadlessChromium:
        executable = find_chromium()
        if executable is None:
            raise SystemExit("error: chromium is not installed: apt-get install chromium")
        self._process = subprocess.Popen(
            [executable, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        port = await self._port()
        async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
            pages = await answer.json(content_type=None)
        url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        await self.call("Page.enable")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._profile.cleanup()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return dict(message["result"])

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['text']}")
        return result["result"].get("value")

    async def wait_for(self, expression: str, timeout_s: float = 60.0) -> Any:
        """The expression's value as soon as it is true.

        Raises:
            TimeoutError: it was not in time.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while not (value := await self.evaluate(expression)):
            if asyncio.get_running_loop().time() > deadline_s:
                raise TimeoutError(f"{expression}: not true within {timeout_s:g} s")
            await asyncio.sleep(0.05)
        return value

    async def size(self, width: int, height: int, scale: float = 1.0, mobile: bool = False) -> None:
        """Set the size of the window [CSS px]."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    async def press(self, key: str) -> None:
        """Press and release a key that writes `key`, e.g. " " or "s"."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key)

    async def screenshot(self, path: Path, quality: int = 60) -> None:
        """Write what the window shows, as PNG or (with this quality) JPEG by the name's ending."""
        options = {} if path.suffix == ".png" else {"format": "jpeg", "quality": quality}
        result = await self.call("Page.captureScreenshot", **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(result["data"]))

    async def _port(self) -> int:
        file = Path(self._profile.name) / "DevToolsActivePort"
        deadline_s = asyncio.get_running_loop().time() + _START_S
        while not (file.is_file() and file.read_text().count("\n") >= 1):
            if asyncio.get_running_loop().time() > deadline_s:
                raise TimeoutError(f"chromium did not start within {_START_S:g} s")
            await asyncio.sleep(0.1)
        return int(file.read_text().splitlines()[0])
