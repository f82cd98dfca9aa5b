"""A web server in a thread and an event loop of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading

from aiohttp import web

from vinn.errors import ConfigError

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        "script-src 'self' 'unsafe-inline'; media-src 'self' data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LAST_ANSWERS_S = 1.0
"""How long the end waits for answers under way."""


class WebServer:
    """Serves one application. Every answer tells browsers to fetch nothing from elsewhere."""

    def __init__(self, app: web.Application, host: str, port: int, name: str) -> None:
        """Args: what is served; the address and port (0: a free one); name of the thread."""
        self._app = app
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.AbstractServer | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"

    def start(self) -> None:
        """Begin to serve.

        Raises:
            ConfigError: the address cannot be used.
        """
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10.0)
        except (OSError, ValueError, OverflowError) as error:  # the last two: no name, no port
            self.stop()
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"port: {self._host}:{self._port} cannot be used ({why})") from error

    def stop(self) -> None:
        """Stop serving; what a request began in another thread is not waited for."""
        if self._thread.is_alive():
            with contextlib.suppress(concurrent.futures.TimeoutError):
                asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(3.0)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=2.0)

    # The event loop

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _open(self) -> None:
        async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
            response.headers.update(_HEADERS)

        self._app.on_response_prepare.append(add_headers)
        self._runner = web.AppRunner(self._app, access_log=None)
        await self._runner.setup()
        # No `web.TCPSite`: before aiohttp 3.9, which is what Ubuntu 22.04 has, it takes the time
        # to wait at the end that the runner takes later; a runner given it then answers nothing.
        assert self._runner.server is not None  # since `setup`
        server = await self._loop.create_server(self._runner.server, self._host, self._port)
        self._listening, self._port = server, server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:
            await self._runner.shutdown()
            if self._runner.server is not None:
                await self._runner.server.shutdown(_LAST_ANSWERS_S)
            await self._runner.cleanup()
