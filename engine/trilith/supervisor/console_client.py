"""Asks the nodes' console port, in the few lines of HTTP/1.1 that this takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trilith.undecodable import UNDECODABLE

if TYPE_CHECKING:
    from ssl import SSLContext

_BODY_BYTES_MAX = 16 * 1024 * 1024


async def get(
    host: str,
    port: int,
    path: str,
    token: str,
    timeout_s: float,
    *,
    method: str = "GET",
    tls: SSLContext | None = None,
) -> tuple[int, bytes]:
    """Status and body; (0, b"") when nothing answers in time or the answer is not HTTP."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _get(host, port, path, token, method, tls)
    except (OSError, TimeoutError, ValueError, IndexError, asyncio.IncompleteReadError):
        return 0, b""


async def get_from_any(
    host: str,
    port: int,
    path: str,
    token: str,
    timeouts_s: Sequence[float],
    *,
    tls: SSLContext | None = None,
) -> tuple[int, bytes]:
    """As `get`, over a new connection after each time-out: of a port that nodes share, one that
    hangs keeps its part of the connections until it is replaced.
    """
    status, body = 0, b""
    for timeout_s in timeouts_s:
        status, body = await get(host, port, path, token, timeout_s, tls=tls)
        if status:
            break
    return status, body


async def _get(
    host: str, port: int, path: str, token: str, method: str, tls: SSLContext | None
) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Connection: close\r\n\r\n".encode("ascii")
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
        status = int(head[0].split(" ")[1])
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        elif "chunked" in headers.get("transfer-encoding", ""):
            body = await _read_chunked(reader)
        else:
            body = await reader.read(_BODY_BYTES_MAX)
        return status, body
    finally:
        writer.close()


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    return b"".join(parts)


def decode_object(body: bytes) -> dict[str, Any] | None:
    """A JSON object, or None for anything else."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except UNDECODABLE:
        return None


def client_host(host: str) -> str:
    """Where this machine reaches a listener that is bound to `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
