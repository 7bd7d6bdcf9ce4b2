"""A GET of the console port for commands that run once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from ssl import SSLContext

TIMEOUT_S = 5.0
_BODY_BYTES_MAX = 16 * 1024 * 1024


class ConsoleError(Exception):
    """The console did not answer as it should; the message is for the user."""


def get(
    url: str,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    *,
    tls: SSLContext | None = None,
) -> tuple[int, bytes]:
    """Status and body. `tls`: what to trust, instead of the system. Raises ConsoleError."""
    # Not at the top: it brings email and ssl, which other commands do without.
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConsoleError(f"{url} is not of the form http://host:port")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        if parts.scheme == "https":
            connection: HTTPConnection = HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_s, context=tls
            )
        else:
            connection = HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}".rstrip("?"), headers=headers)
            response = connection.getresponse()
            return response.status, response.read(_BODY_BYTES_MAX)
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError) as error:
        raise ConsoleError(f"{url} does not answer: {error}") from error


def get_json(url: str, token: str) -> dict[str, Any]:
    """The JSON object behind a URL. Raises ConsoleError."""
    status, body = get(url, token)
    if status in (401, 403):
        raise ConsoleError(f"{url} refuses the token: it is in control.token of the data directory")
    if status != 200:
        raise ConsoleError(f"{url} answers {status}: {body[:200].decode(errors='replace')}")
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ConsoleError(f"{url} does not answer with JSON: {error}") from error
