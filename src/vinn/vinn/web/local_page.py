"""A web page on this machine: what the pages for labelling and for painting share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from vinn.errors import VinnError
from vinn.web.origin import foreign
from vinn.web.server import WebServer


@dataclass(frozen=True)
class Answer:
    """What a page sends: its content type and its bytes."""

    content_type: str
    body: bytes


class LocalPage:
    """Serves `get` and `post` on 127.0.0.1; only this machine can reach it, and no other page.

    `get` and `post` run in threads, several at a time.

    Args:
        port: 0 takes a free one.
        accepted: content type of what is posted. Not a plain one: a page of another site can post
            those here without asking.
        max_body: longest content that is taken [bytes].
    """

    def __init__(self, port: int, accepted: str, max_body: int) -> None:
        self._accepted = accepted
        app = web.Application(middlewares=[_from_here_alone], client_max_size=max_body)
        app.add_routes([web.get("/{path:.*}", self._get), web.post("/{path:.*}", self._post)])
        self._server = WebServer(app, "127.0.0.1", port, "local page")

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def get(self, parts: list[str]) -> Answer | None:
        """Answer a path, split at its slashes; None where there is nothing.

        Raises:
            VinnError: what is asked for is not there; sent as 404.
        """
        raise NotImplementedError

    def post(self, body: bytes) -> None:
        """Take what was posted.

        Raises:
            VinnError: it is malformed; sent as 400.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Answer until `stop`.

        Raises:
            ConfigError: the port is taken.
        """
        self._server.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()

    async def _get(self, request: web.Request) -> web.Response:
        parts = [unquote(part) for part in request.rel_url.raw_path.split("/")[1:]]
        try:
            answer = await asyncio.to_thread(self.get, parts)
        except VinnError as error:
            raise web.HTTPNotFound(text=f"{error}") from error
        if answer is None:
            raise web.HTTPNotFound(text="no such page")
        return web.Response(body=answer.body, headers={"Content-Type": answer.content_type})

    async def _post(self, request: web.Request) -> web.Response:
        if request.content_type != self._accepted:
            raise web.HTTPUnsupportedMediaType(text=f"expected {self._accepted}")
        body = await request.read()
        try:
            await asyncio.to_thread(self.post, body)
        except VinnError as error:
            raise web.HTTPBadRequest(text=f"{error}") from error
        return web.json_response({})


@web.middleware
async def _from_here_alone(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    changes = request.method not in ("GET", "HEAD")
    refused = foreign(request.headers, this_machine=True, changes=changes)
    if refused is not None:
        raise web.HTTPForbidden(text=f"refused: {refused}")
    return await handler(request)
