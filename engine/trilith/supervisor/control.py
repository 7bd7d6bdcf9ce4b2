"""The control socket: how `trilith status` and `trilith zone` reach the running supervisor.

One JSON object a line, one answer a line. A unix socket of mode 0600: whoever may use it may also
read the data.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from trilith.undecodable import UNDECODABLE

# A status of 10,000 partitions stays under this.
LINE_BYTES_MAX = 16 * 1024 * 1024
REQUEST_TIMEOUT_S = 60.0

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlError(Exception):
    """The supervisor is not there, or refused; the message is for the user."""


class ControlServer:
    """Listens on the socket; `handle` answers each request, or raises a ControlError for it."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self._path = path
        self._handle = handle
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError. A socket left by a killed supervisor is replaced."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            with _Address(self._path) as address:
                listener.bind(address)
        except OSError:
            listener.close()
            raise
        finally:
            os.umask(before)
        self._server = await asyncio.start_unix_server(
            self._serve_one, sock=listener, limit=LINE_BYTES_MAX
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), REQUEST_TIMEOUT_S)
            if line:
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, TimeoutError, ValueError):
            pass  # the asker went away, or sent no line: there is nobody to tell
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            return {"ok": await self._handle(request)}
        except UNDECODABLE as error:
            return {"error": f"malformed control request: {error}"}
        except ControlError as error:
            return {"error": str(error)}


def ask(path: Path, request: dict[str, Any], timeout_s: float = REQUEST_TIMEOUT_S) -> Any:
    """Send one request and wait for the answer. Blocking. Raises ControlError."""
    not_running = (
        f"no `trilith serve` is running on {path.parent}: start it, or name its directory "
        "with --data"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with _Address(path) as address:
                connection.connect(address)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline(LINE_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise ControlError(not_running) from error
        except TimeoutError as error:
            raise ControlError(f"the supervisor did not answer within {timeout_s:g} s") from error
        except OSError as error:
            raise ControlError(f"cannot reach the supervisor through {path}: {error}") from error
    if not line:
        raise ControlError("the supervisor ended before it answered")
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["ok"]


class _Address:
    """A socket address of any length: the kernel takes 107 bytes, /proc/self/fd/N/name is short."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> str:
        self._directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._directory}/{self._path.name}"

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._directory)
