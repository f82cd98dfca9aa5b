"""The console's web server, in a thread and an event loop of its own. No ROS here.

One WebSocket for each page carries state (text) and pictures (binary: 0 wrist, 1 neighbours, then
the JPEG). Requests answer at once and run in a thread of their own, one of each kind (of each
setting); what became of them is a note in the state. Stop waits for nobody: it is handled in the
event loop itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from vinn.errors import ConfigError
from vinn.web.server import WebServer

from vinn_ros.console.access import COOKIE, Access
from vinn_ros.console.backend import COMMANDS, Backend
from vinn_ros.console.recordings import RecordingPages

_PAGE = Path(__file__).parent / "page"
_PERIOD_S = 0.1
_NOTES = 30
_MAX_BODY = 16 * 2**10


class ConsoleServer:
    """Serves one page to some browsers."""

    def __init__(
        self, backend: Backend, access: Access, port: int, recordings: RecordingPages
    ) -> None:
        """Args: the robot's side, who may come in, port (0: any free one), recordings."""
        self._backend = backend
        self._access = access
        self._recordings = recordings
        self._pool = concurrent.futures.ThreadPoolExecutor(len(COMMANDS) + 1, "console")
        self._running: set[str] = set()
        self._notes: deque[dict[str, Any]] = deque(maxlen=_NOTES)
        self._note_count = 0
        self._viewers: set[web.WebSocketResponse] = set()
        self._server = WebServer(self._application(), access.host, port, "console")

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def start(self) -> None:
        """Begin to serve.

        Raises:
            vinn.errors.ConfigError: the address cannot be used.
        """
        self._server.start()

    def stop(self) -> None:
        """Stop serving; commands under way are not waited for."""
        self._server.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # The event loop

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=_MAX_BODY)
        app.add_routes(
            [
                web.get("/", self._page("index.html")),
                web.get("/console.js", self._page("console.js")),
                web.get("/console.css", self._page("console.css")),
                web.get("/socket", self._socket),
                web.post("/stop", self._stop),
                web.post("/do/{command}", self._command),
                web.get("/recordings", self._list_recordings),
                web.get("/recordings/{session}", self._recording),
            ]
        )
        app.on_shutdown.append(self._dismiss)
        return app

    async def _dismiss(self, app: web.Application) -> None:
        """Whoever looks at the page is told that it ends."""
        for viewer in list(self._viewers):
            await viewer.close()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let nobody in who may not; the token of a link becomes a cookie."""
        linked = request.query.get("token", "")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        refused = self._access.refusal(
            request.headers,
            request.cookies.get(COOKIE, ""),
            linked or bearer,
            request.remote or "",
            changes=request.method != "GET" or request.path == "/socket",
        )
        if refused is not None:
            text = f"refused: {refused.message}\n"
            if refused.wait_s > 0.0:
                wait = {"Retry-After": str(math.ceil(refused.wait_s))}
                raise web.HTTPTooManyRequests(text=text, headers=wait)
            raise web.HTTPForbidden(text=text)
        response = await handler(request)
        if linked and not response.prepared:
            session = self._access.new_session()
            response.set_cookie(COOKIE, session, httponly=True, samesite="Strict")
        return response

    def _page(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(_PAGE / name)

        return serve

    async def _stop(self, request: web.Request) -> web.Response:
        """In the event loop, past everything else."""
        self._backend.stop()
        self._note("stop", True, "asked supervisor and executor to stop")
        return web.json_response({"accepted": True})

    async def _command(self, request: web.Request) -> web.Response:
        """Begin a command; what becomes of it is in the notes."""
        command = request.match_info["command"]
        if command not in COMMANDS:
            raise web.HTTPNotFound(text=f"{command}: unknown; allowed: {', '.join(COMMANDS)}\n")
        try:
            arguments = await request.json() if request.can_read_body else {}
        except (ValueError, LookupError, RecursionError) as error:  # also: an unknown charset
            raise web.HTTPBadRequest(text="the body is not JSON\n") from error
        if not isinstance(arguments, dict):
            raise web.HTTPBadRequest(text="the body is not a JSON object\n")
        # Several settings may be on their way; of the rest, and of each setting, one at a time.
        what = f"{command} {arguments.get('name')}" if command == "set_parameter" else command
        if what in self._running:
            raise web.HTTPConflict(text=f"{what}: still under way\n")
        self._running.add(what)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._backend.run, command, arguments)
        future.add_done_callback(lambda done: self._done(command, what, done))
        return web.json_response({"accepted": True}, status=202)

    def _done(self, command: str, what: str, future: asyncio.Future[tuple[bool, str]]) -> None:
        self._running.discard(what)
        if future.cancelled():
            return
        error = future.exception()
        done, message = (False, repr(error)) if error is not None else future.result()
        self._note(command, done, message)

    def _note(self, command: str, done: bool, message: str) -> None:
        self._note_count += 1
        self._notes.append(
            {
                "number": self._note_count,
                "time": time.strftime("%H:%M:%S"),
                "command": command,
                "done": done,
                "message": message,
            }
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """State and pictures to one page, no faster than it takes them."""
        socket = web.WebSocketResponse(heartbeat=10.0, max_msg_size=_MAX_BODY)
        await socket.prepare(request)
        self._viewers.add(socket)
        self._backend.watched(len(self._viewers))
        sender = asyncio.ensure_future(self._send(socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and message.data == "stop":
                    self._backend.stop()
                    self._note("stop", True, "asked supervisor and executor to stop")
        finally:
            sender.cancel()
            self._viewers.discard(socket)
            self._backend.watched(len(self._viewers))
        return socket

    async def _send(self, socket: web.WebSocketResponse) -> None:
        shown = [-1, -1]
        last = ""
        while not socket.closed:
            state = {
                **self._backend.snapshot(),
                "notes": list(self._notes),
                "running": sorted(self._running),
            }
            text = json.dumps(state, allow_nan=False)
            if text != last:
                await socket.send_str(text)
                last = text
            for kind, picture in enumerate((self._backend.wrist(), self._backend.mosaic())):
                if picture is not None and picture.number != shown[kind]:
                    shown[kind] = picture.number
                    await socket.send_bytes(bytes([kind]) + picture.jpeg)
            await asyncio.sleep(_PERIOD_S)

    async def _list_recordings(self, request: web.Request) -> web.Response:
        rows = await asyncio.to_thread(self._recordings.rows)
        return web.json_response(rows)

    async def _recording(self, request: web.Request) -> web.StreamResponse:
        """The page of one recording, made when somebody asks for it."""
        try:
            page = await self._recordings.page(request.match_info["session"])
        except (ConfigError, OSError) as error:
            raise web.HTTPNotFound(text=f"{error}\n") from error
        return web.FileResponse(page)
