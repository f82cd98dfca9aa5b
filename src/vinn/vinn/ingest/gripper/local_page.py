"""A web page on this machine: what the pages for labelling and for painting share."""

from __future__ import annotations

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from vinn.errors import ConfigError, VinnError


@dataclass(frozen=True)
class Answer:
    """What a page sends: its content type and its bytes."""

    content_type: str
    body: bytes


class LocalPage:
    """Serves `get` and `post` on 127.0.0.1; only this machine can reach it.

    Args:
        port: 0 takes a free one.
        accepted: content type of what is posted. Not a plain one: a page of another site can post
            those here without asking.
        max_body: longest content that is read [bytes].

    Raises:
        ConfigError: the port is taken.
    """

    def __init__(self, port: int, accepted: str, max_body: int) -> None:
        self._accepted, self._max_body = accepted, max_body
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        except OSError as cause:
            raise ConfigError(f"port {port}: cannot listen: {cause.strerror}") from cause
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def get(self, parts: list[str]) -> Answer | None:
        """Answer a path, split at its slashes; None where there is nothing.

        Raises:
            VinnError: what is asked for is not there; sent as 404.
        """
        raise NotImplementedError

    def post(self, body: bytes) -> None:
        """Take what was posted.

        Raises:
            VinnError, ValueError, KeyError, TypeError: it is malformed; sent as 400.
        """
        raise NotImplementedError

    def serve(self) -> None:
        """Answer until `close`."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    answer = page.get([unquote(part) for part in self.path.split("/")[1:]])
                except VinnError as error:
                    self._send(404, Answer("text/plain", str(error).encode()))
                    return
                if answer is None:
                    self._send(404, Answer("text/plain", b"no such page"))
                    return
                self._send(200, answer)

            def do_POST(self) -> None:
                if self.headers.get_content_type() != page._accepted:
                    self._send(415, Answer("text/plain", f"expected {page._accepted}".encode()))
                    return
                try:
                    length = int(self.headers.get("Content-Length") or 0)
                    page.post(self.rfile.read(max(0, min(length, page._max_body))))
                except (VinnError, ValueError, KeyError, TypeError) as error:
                    self._send(400, Answer("text/plain", str(error).encode()))
                    return
                self._send(200, Answer("application/json", b"{}"))

            def _send(self, code: int, answer: Answer) -> None:
                self.send_response(code)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Quiet."""

        return Handler
