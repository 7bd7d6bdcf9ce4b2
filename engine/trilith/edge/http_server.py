"""An HTTP server in the node's own event loop, on sockets that we create.

No signal handlers, no lifespan, no access log of its own: the composition root starts and stops
it, the application logs. Several processes may share a port (`reuse_port`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from trilith import config as configuration
from trilith.edge.answer import Refuse, refuse_in_text
from trilith.edge.certificate import Certificate
from trilith.edge.protocol import BodyBudget, ConnectionLimits, HttpProtocol
from trilith.edge.tls_listener import TlsListener

log = logging.getLogger("trilith.edge")

BACKLOG = 2048
SWEEP_INTERVAL_S = 1.0
HEADER_TIMEOUT_S = 15.0
BODY_BYTES_MAX = 64 << 20
STOP_POLL_S = 0.02
TLS_SHUTDOWN_S = 2.0  # for the other side to say goodbye


def limits_from(limits: configuration.Limits) -> ConnectionLimits:
    """The connection limits that the configuration asks for."""
    return ConnectionLimits(
        connections_max=limits.connections_max,
        header_bytes_max=limits.request_header_bytes_max,
        header_timeout_s=min(HEADER_TIMEOUT_S, limits.request_timeout_ms / 1000),
        body_timeout_s=limits.request_timeout_ms / 1000,
        keep_alive_timeout_s=limits.keep_alive_timeout_ms / 1000,
    )


def listening_socket(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound, non-blocking stream socket. Port 0 picks one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class HttpServer:
    """Serves one ASGI application on one listening socket.

    `app` may offer `answer_at_once` (edge/answer.py), and `refuse`, which words the answers to
    what never became a request (malformed, too large, too slow, too many).
    """

    def __init__(
        self,
        app: Any,
        sock: socket.socket,
        limits: ConnectionLimits,
        certificate: Certificate | None = None,
    ) -> None:
        """`certificate`: the connections are TLS."""
        self._sock = sock
        self._limits = limits
        self._certificate = certificate
        self._refuse: Refuse = getattr(app, "refuse", refuse_in_text)
        self._config = Config(
            app,
            http=HttpProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._config.load()
        self._state = ServerState()
        self._budget = BodyBudget(BODY_BYTES_MAX)
        self._server: asyncio.Server | TlsListener | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._sock.getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._state.connections)

    async def start(self) -> None:
        """Accepts connections when it returns."""
        loop = asyncio.get_running_loop()

        def protocol() -> HttpProtocol:
            return HttpProtocol(
                self._config,
                self._state,
                self._limits,
                self._refuse,
                budget=self._budget,
                loop=loop,
            )

        if self._certificate is None:
            self._server = await loop.create_server(protocol, sock=self._sock, backlog=BACKLOG)
        else:
            listener = TlsListener(
                self._sock,
                self._certificate.context,
                protocol,
                handshake_timeout_s=self._limits.header_timeout_s,
                shutdown_timeout_s=TLS_SHUTDOWN_S,
            )
            listener.start(BACKLOG)
            self._server = listener
        self._sweeper = loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        # First, so that a defect below ends one sweep, and not all that are to come.
        self._sweeper = loop.call_later(SWEEP_INTERVAL_S, self._sweep)
        now = loop.time()
        connections: set[HttpProtocol] = self._state.connections  # type: ignore[assignment]
        for connection in [one for one in connections if one.deadline <= now]:
            connection.deadline_passed()
        if self._certificate is not None:
            self._certificate.refresh()

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets open requests finish for `grace_s`, then cuts what is left."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(grace_s):
                await self._all_closed()
        except TimeoutError:
            log.warning("%d connections are cut off at the end of the grace", self.connections)
        for task in list(self._state.tasks):
            task.cancel()
        connections: set[HttpProtocol] = self._state.connections  # type: ignore[assignment]
        for connection in list(connections):
            connection.abort()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=1.0)
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._server = None

    async def _all_closed(self) -> None:
        # Polled: closing is rare, and an event would cost every connection.
        while self._state.tasks or self._state.connections:
            await asyncio.sleep(STOP_POLL_S)
