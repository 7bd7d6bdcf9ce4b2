"""One request and its answer on a connection: the ASGI side of the HTTP protocol.

Replaces uvicorn's cycle on the hot path: body pieces are handed over without being copied, the
head is written in one piece without a regular expression per header, and a client that goes away
is an error of `send`, so that nobody streams a large object to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from trilith.edge.answer import Headers
from trilith_native.http_request import response_head

if TYPE_CHECKING:
    from trilith.edge.protocol import HttpProtocol

log = logging.getLogger("trilith.edge")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientGoneError(ConnectionError):
    """The client closed the connection, or let it stall too long, before the answer was through."""


def render_head(status: int, headers: Headers, *, close: bool, chunked: bool) -> bytes:
    """The status line and header section.

    Raises ValueError when a value would break out of its line: header values may come from
    callers (metadata, `response-content-type`), and a split answer is an attack.
    """
    return response_head(STATUS_LINE[status], headers, close, chunked)


class Exchange:
    """Receives the body and sends the answer of one request."""

    __slots__ = (
        "_arrived",
        "_chunked",
        "_head",
        "_pieces",
        "_protocol",
        "_remaining",
        "app",
        "buffered",
        "complete",
        "disconnected",
        "expects_continue",
        "keep_alive",
        "more_body",
        "scope",
        "stalled",
        "started",
        "task",
    )

    def __init__(
        self,
        protocol: HttpProtocol,
        app: Any,
        scope: dict[str, Any],
        *,
        expects_continue: bool,
        keep_alive: bool,
    ) -> None:
        self._protocol = protocol
        self.app = app
        self.scope = scope
        self.expects_continue = expects_continue
        self.keep_alive = keep_alive
        self.more_body = True
        self.buffered = 0
        self.started = False
        self.complete = False
        self.disconnected = False
        self.stalled = False
        self.task: asyncio.Task[None] | None = None
        self._pieces: list[bytes] = []
        self._arrived: asyncio.Future[None] | None = None
        self._head = b""
        self._chunked = False
        self._remaining = 0

    # --- the protocol's side -------------------------------------------------------------

    def body_arrived(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.buffered += len(piece)
        self._protocol.budget.held += len(piece)
        if self._arrived is not None:
            self._wake()

    def whole_body(self, body: bytes) -> None:
        """The only piece, and the end."""
        self.more_body = False
        if body:
            self._pieces.append(body)
            self.buffered = len(body)
            self._protocol.budget.held += len(body)

    def body_ended(self) -> None:
        self.more_body = False
        if self._arrived is not None:
            self._wake()

    def disconnect(self) -> None:
        self.disconnected = True
        self._wake()

    def stall(self) -> None:
        """The body made no progress for too long: `receive` reports a disconnect."""
        self.stalled = True
        self._wake()

    def release(self) -> None:
        """Forgets the pieces held."""
        self._pieces.clear()
        self._protocol.budget.held -= self.buffered
        self.buffered = 0

    def _wake(self) -> None:
        arrived = self._arrived
        if arrived is not None and not arrived.done():
            arrived.set_result(None)

    async def run(self) -> None:
        """Runs the application; whatever it leaves undone is answered 500 or cut off."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ConnectionError:
            # The client went, or the application cannot end what it began: both end here.
            self._protocol.abort()
            return
        except asyncio.CancelledError:
            self._protocol.abort()
            raise
        except Exception:
            log.exception("an application failed outside its own error handling")
        finally:
            if self.buffered:
                self.release()
            self._protocol.tasks.discard(self.task)  # set by now
            # It leads back here: a ring for each request is work for the garbage collector, which
            # stops everything for milliseconds.
            self.scope.pop("trilith.answer", None)
        if self.complete or self.disconnected:
            return
        if self.started:
            self._protocol.abort()
            return
        self._protocol.refuse(500, "InternalError", "We encountered an internal error.")

    # --- ASGI ------------------------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        """The next run of body bytes. The first call tells a waiting client to continue."""
        protocol = self._protocol
        if self.expects_continue and self.more_body and not self.started and not self._pieces:
            self.expects_continue = False
            protocol.transport.write(CONTINUE)
        pieces = self._pieces
        while not pieces and self.more_body:
            if self.disconnected or self.stalled or self.complete:
                return {"type": "http.disconnect"}
            protocol.await_body()
            self._arrived = protocol.loop.create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
                protocol.body_awaited()
        if not pieces and (self.disconnected or self.complete):
            return {"type": "http.disconnect"}
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.release()
        if self.more_body:
            protocol.flow.resume_reading()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: dict[str, Any]) -> None:
        """Writes a message; waits while the client reads slower than we write."""
        protocol = self._protocol
        if protocol.flow.write_paused and not self.disconnected:
            await protocol.drain()
        if self.disconnected:
            raise ClientGoneError("the client closed the connection")
        if not self.started:
            self._start(message["status"], message["headers"])
            return
        if self.complete:
            raise RuntimeError("the answer is already complete")
        if protocol.transport.is_closing():
            # A write has failed at once, and the loop is yet to tell us: a sender that never waits
            # would keep it from ever doing so.
            raise ClientGoneError("the connection is closed")
        self._send_body(message.get("body", b""), more=message.get("more_body", False))

    def answer(self, status: int, headers: Headers, body: bytes) -> bool:
        """The whole answer, here and now, without the messages of `send`: for applications that
        find this in their scope. `headers` tell the body's length. False: only by `send`.
        """
        protocol = self._protocol
        if (
            protocol.flow.write_paused
            or self.disconnected
            or self.started
            or self.expects_continue
            or self.scope["method"] == "HEAD"
        ):
            return False
        # The rest of an unread body would be taken for the next request.
        if self.more_body or protocol.stopping:
            self.keep_alive = False
        head = render_head(status, headers, close=not self.keep_alive, chunked=False)
        protocol.transport.write(head + body)
        self.started = self.complete = True
        protocol.exchange_complete(self)
        return True

    def _start(self, status: int, headers: Headers) -> None:
        length = None
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
        bodiless = self.scope["method"] == "HEAD" or status in (204, 304)
        self._chunked = length is None and not bodiless
        # The rest of an unread body would be taken for the next request.
        if self.more_body or self._protocol.stopping:
            self.keep_alive = False
        # Kept back so that a small answer's head and body leave in one write.
        self._head = render_head(status, headers, close=not self.keep_alive, chunked=self._chunked)
        if self.expects_continue and self.keep_alive:
            # The body was empty, or came unasked. botocore misreads the next answer on a connection
            # where a final one took the place of the 100, and waits for bytes that never come.
            self.expects_continue = False
            self._head = CONTINUE + self._head
        self._remaining = 0 if bodiless or length is None else length
        self.started = True

    def _send_body(self, body: bytes, *, more: bool) -> None:
        transport = self._protocol.transport
        if self.scope["method"] == "HEAD":
            body = b""
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = framed if more else framed + b"0\r\n\r\n"
        elif len(body) > self._remaining:
            raise RuntimeError("the answer is longer than its content-length")
        else:
            self._remaining -= len(body)
            if not more and self._remaining:
                raise RuntimeError("the answer is shorter than its content-length")
        head, self._head = self._head, b""
        if head and len(body) <= 65536:
            transport.write(head + body)
        else:
            if head:
                transport.write(head)
            if body:
                transport.write(body)
        if not more:
            self.complete = True
            self._protocol.exchange_complete(self)
