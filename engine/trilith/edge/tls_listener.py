"""Accepts TLS connections: handshakes are bounded in number and in time.

A server that is given a TLS context by the event loop accepts whatever comes, and its protocol sees
a connection once its handshake is through: a client that opens connections and says nothing is in
no count. Here so many handshakes are under way at the most; what comes meanwhile waits in the
kernel's queue. When all of them are slow, the one that has had the longest gives way to the next
that comes, so that clients who mean it are let in however many do not: a handshake takes them
milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

log = logging.getLogger("trilith.edge")

HANDSHAKES_MAX = 256  # some 50 KiB each
PATIENCE_S = 1.0  # so long a handshake may keep others waiting
REFUSED_PAUSE_S = 0.1  # when the kernel has no descriptor for a connection


class TlsListener:
    """Of one listening socket. `make_protocol` is called for each connection."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        *,
        handshake_timeout_s: float,
        shutdown_timeout_s: float,
    ) -> None:
        self._sock = sock
        self._context = context
        self._make_protocol = make_protocol
        self._handshake_timeout_s = handshake_timeout_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._handshakes: dict[asyncio.Task[None], float] = {}  # since when, in this order
        self._accepting: asyncio.Task[None] | None = None

    def start(self, backlog: int) -> None:
        """Connections are accepted from now on. Raises OSError."""
        self._sock.listen(backlog)
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Accept nothing more, and end the handshakes that are under way."""
        if self._accepting is not None:
            self._accepting.cancel()
        for handshake in list(self._handshakes):
            handshake.cancel()
        self._sock.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._sock)
            except OSError as error:  # of one connection, or for want of descriptors: it may pass
                log.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(REFUSED_PAUSE_S)
                continue
            try:
                await self._make_room()
            except asyncio.CancelledError:
                connection.close()
                raise
            handshake = loop.create_task(self._shake_hands(connection))
            self._handshakes[handshake] = loop.time()
            handshake.add_done_callback(self._handshakes.pop)

    async def _make_room(self) -> None:
        """Return when one more handshake may begin."""
        loop = asyncio.get_running_loop()
        while len(self._handshakes) >= HANDSHAKES_MAX:
            oldest, began = next(iter(self._handshakes.items()))
            left_s = began + PATIENCE_S - loop.time()
            if left_s <= 0:
                oldest.cancel()
                await asyncio.wait([oldest])
                continue
            await asyncio.wait(
                self._handshakes, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_timeout_s,
                ssl_shutdown_timeout=self._shutdown_timeout_s,
            )
        except OSError as error:  # an SSLError, too, and what a time-out is told as
            log.debug("a TLS handshake failed: %s", error)
