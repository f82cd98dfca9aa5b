"""The console's token: from a file or the environment, never a parameter or a command line.

Parameters are shown to whoever asks and kept in every recording; command lines are shown to whoever
is logged in.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from vinn.errors import ConfigError

TOKEN_VARIABLE = "VINN_CONSOLE_TOKEN"
MIN_LENGTH, MAX_LENGTH = 12, 256
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""What goes through a link, a header and a cookie as it is (RFC 6750)."""


def read_token(file: str) -> str:
    """The token in `file`, or where that is empty in the environment; empty: none is needed.

    Raises:
        vinn.errors.ConfigError: the file cannot be read, or others can read it; or the token is too
            short, too long, or has characters that no link can carry. It is never shown.
    """
    where, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
    if file:
        where, token = f"token_file: {file}", _read(file)
        if not token:
            raise ConfigError(f"{where}: empty; allowed: one line with the token")
    if token and not MIN_LENGTH <= len(token) <= MAX_LENGTH:
        raise ConfigError(f"{where}: {len(token)} characters; allowed: {MIN_LENGTH}..{MAX_LENGTH}")
    if token and not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{where}: a character that a link cannot carry; allowed: letters, digits and ._~+/=-"
        )
    return token


def _read(file: str) -> str:
    path = Path(file).expanduser()
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                f"token_file: {file}: mode {stat.S_IMODE(mode):03o} lets others read it; allowed: "
                "600 (chmod 600)"
            )
        with path.open("rb") as stream:
            return stream.read(MAX_LENGTH + 64).decode("utf-8", "replace").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"token_file: {file[:200]}: cannot be read ({error})") from error
