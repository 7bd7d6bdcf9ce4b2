"""An HttpServer in a thread, and bare sockets against it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from trilith.edge.certificate import Certificate
from trilith.edge.http_server import HttpServer, listening_socket
from trilith.edge.protocol import ConnectionLimits


def limits(**changed: Any) -> ConnectionLimits:
    values: dict[str, Any] = {
        "connections_max": 100,
        "header_bytes_max": 8192,
        "header_timeout_s": 30.0,
        "body_timeout_s": 30.0,
        "keep_alive_timeout_s": 30.0,
    }
    return ConnectionLimits(**(values | changed))


class Running:
    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.port = server.port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, *pieces: bytes, end: bool = False) -> bytes:
        """All that comes back until the server closes."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def stop(self, grace_s: float) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(grace_s), self.loop).result(10)


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a content-length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(65536)
        assert data, answer
        answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        data = connection.recv(65536)
        assert data, answer
        body += data
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(app: Any, certificate: Certificate | None = None, **changed: Any) -> Iterator[Running]:
    """`app` behind a server with these limits."""
    ready = threading.Event()
    state: list[Any] = []

    async def serve() -> None:
        listener = listening_socket("127.0.0.1", 0)
        server = HttpServer(app, listener, limits(**changed), certificate)
        await server.start()
        stop = asyncio.Event()
        state.extend((Running(server, asyncio.get_running_loop()), stop))
        ready.set()
        await stop.wait()
        await server.stop(0.5)

    thread = threading.Thread(target=lambda: uvloop.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    running, stop = state
    try:
        yield running
    finally:
        running.loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
