"""Requests that no library would send."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def raw(url: str, method: str, path: str, *headers: bytes, body: bytes = b"") -> int:
    """The status of a request to the server of `url`; 0: none. Without a `Host` of its own."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Connection: close", *headers]
    if not any(header.lower().startswith(b"transfer-encoding") for header in headers):
        lines.append(b"Content-Length: %d" % len(body))
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), 20.0) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = connection.makefile("rb").readline().split()
    return int(answer[1]) if len(answer) > 1 else 0


MALFORMED_HOSTS = [
    b"[", b"[::1", b"]", b"a:b:c", b"localhost:99999", b"localhost:-1", b"\xff\xfe", b"",
    b"user@[", b"[::1]extra", b"127.0.0.1:port", b"\xe4\xf6\xfc", b"[v1.x]", b"x" * 4000,
]  # fmt: skip
