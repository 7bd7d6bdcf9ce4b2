"""HTTP/1.1 on one connection: uvicorn's httptools protocol with the per-request waste taken out.

What differs from uvicorn: a plain request that comes in one piece is read in one pass
(trilith_native.http_request); a bodiless GET or HEAD may be answered without a task; one sweep over
all connections replaces a timer per request; the header section is bounded; a client that sends
its headers or body too slowly is cut off; the rest of an unread body is drained for a moment
before the connection is closed, so that the client can read the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from trilith.edge.answer import Answer, Refuse
from trilith.edge.exchange import ClientGoneError, Exchange, render_head
from trilith_native.http_request import whole_request

log = logging.getLogger("trilith.edge")

NEVER = float("inf")
BODY_HIGH_WATER_BYTES = 256 << 10
WRITE_HIGH_WATER_BYTES = 1 << 20
LINGER_S = 2.0
ASGI_VERSION = {"version": "3.0", "spec_version": "2.4"}


class ConnectionLimits:
    """What every connection of a server obeys. Durations in seconds."""

    def __init__(
        self,
        *,
        connections_max: int,
        header_bytes_max: int,
        header_timeout_s: float,
        body_timeout_s: float,
        keep_alive_timeout_s: float,
    ) -> None:
        self.connections_max = connections_max
        self.header_bytes_max = header_bytes_max
        self.header_timeout_s = header_timeout_s
        self.body_timeout_s = body_timeout_s
        self.keep_alive_timeout_s = keep_alive_timeout_s


class BodyBudget:
    """Body bytes that have arrived and nobody has read, over all connections of a server.

    Beyond `limit` a connection that delivers more is not read from until its request has taken
    what is there: a node's memory does not grow with the number of its clients' uploads.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0


class HttpProtocol(HttpToolsProtocol):
    """One connection. `deadline` is when the server's sweep acts on it (`deadline_passed`)."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        limits: ConnectionLimits,
        refuse: Refuse,
        *,
        budget: BodyBudget,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self._limits = limits
        self._refuse = refuse
        self.budget = budget
        self._asgi_app: Any = config.app
        self._answer_at_once = getattr(config.app, "answer_at_once", None)
        self.deadline = NEVER
        self.stopping = False
        self._exchange: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._head_bytes = 0
        self._in_head = False
        self._between_requests = True  # of the parser: nothing of a request was fed to it
        self._lingering = False
        self._deaf = False  # one of the client's requests was refused: no later one is looked at
        self._ended = False
        self._answered_at_once = False
        self._writable: asyncio.Future[None] | None = None

    # --- connection ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.server = get_local_addr(transport)
        self.client = get_remote_addr(transport)
        self.scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        self.deadline = self.loop.time() + self._limits.keep_alive_timeout_s
        if len(self.connections) > self._limits.connections_max:
            self.refuse(503, "SlowDown", "Please reduce your request rate.")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.connections.discard(self)
        self.deadline = NEVER
        if self._exchange is not None:
            self._exchange.disconnect()
        for exchange in self._waiting:
            exchange.disconnect()
            exchange.release()  # it will never run, and would hold its share of the budget for good
        self._waiting.clear()
        self.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more, and may still read: what it asked for whole is answered."""
        last = self._waiting[-1] if self._waiting else self._exchange
        if self._lingering or last is None or last.complete:
            return False
        self._ended = True
        if last.more_body:
            last.stall()
        return self.scheme == "http"  # a TLS connection cannot stay half open

    def deadline_passed(self) -> None:
        """Called by the sweep: an idle, a dawdling or a lingering connection ends here."""
        exchange = self._exchange
        if exchange is not None and not exchange.complete:
            self.deadline = NEVER
            exchange.stall()
        elif self._in_head and not self._lingering:
            self.refuse(400, "RequestTimeout", "The request's headers were not received in time.")
        elif self._lingering:
            self.abort()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """No further request; closes at once when none is in work."""
        self.stopping = True
        if self._exchange is None or self._exchange.complete:
            self.transport.close()

    def abort(self) -> None:
        """Cuts the connection: an answer that began and cannot be ended must look broken."""
        if not self.transport.is_closing():
            self.transport.abort()

    # --- reading -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._lingering or self._deaf:
            return
        if self._between_requests and self._take_whole(data):
            return
        parser = self.parser
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # the request was taken as it is; the connection ends with its answer
        except httptools.HttpParserError:
            self._reject_malformed()
            return
        if self._in_head:
            # Counted here too: the parser keeps an unfinished header to itself.
            self._head_bytes += len(data)
            if self._head_bytes > 2 * self._limits.header_bytes_max:
                self._refuse_large_head()

    def _take_whole(self, data: bytes) -> bool:
        """Begin what `data` is, if that is exactly one plain request and none is in work."""
        exchange = self._exchange
        if (exchange is not None and not exchange.complete) or self.transport.is_closing():
            return False
        found = whole_request(data, self._limits.header_bytes_max)
        if found is None:
            return False
        method, target, headers, body = found
        self.deadline = NEVER
        scope = self._scope(method, target, headers, "1.1")
        if (
            method in ("GET", "HEAD")
            and self._answer_at_once is not None
            and not self.flow.write_paused
        ):
            answer = self._answer_at_once(scope)
            if answer is not None:
                self._write_answer(answer, keep_alive=True)
                return True
        exchange = Exchange(self, self._asgi_app, scope, expects_continue=False, keep_alive=True)
        exchange.whole_body(body)
        scope["trilith.body"] = body  # for applications that need not ask for it
        if self.budget.held > self.budget.limit:
            self.flow.pause_reading()
        self._exchange = exchange
        self._run(exchange)
        return True

    def _reject_malformed(self) -> None:
        exchange = self._exchange
        if exchange is not None and not exchange.complete:
            # The request's own framing broke: its reader must see an incomplete body.
            exchange.keep_alive = False
            exchange.stall()
            return
        if not self.transport.is_closing() and not self._lingering:
            self.refuse(400, "BadRequest", "An error occurred when parsing the HTTP request.")

    def _refuse_in_turn(self, status: int, code: str, message: str) -> None:
        """As `refuse`; while earlier requests are in work, those are answered, and then it ends: a
        refusal now would be taken for the answer to one of them.
        """
        last = self._waiting[-1] if self._waiting else self._exchange
        if last is None or last.complete:
            self.refuse(status, code, message)
            return
        last.keep_alive = False
        self._deaf = True

    def _refuse_large_head(self) -> None:
        self._refuse_in_turn(
            400,
            "RequestHeaderSectionTooLarge",
            "Your request header section exceeds the maximum allowed request header section size.",
        )

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._head_bytes = 0
        self._in_head = True
        self._between_requests = False
        self._answered_at_once = False
        if self._exchange is None or self._exchange.complete:
            self.deadline = self.loop.time() + self._limits.header_timeout_s

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self._head_bytes += len(name) + len(value) + 4
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._deaf:
            return
        self.deadline = NEVER
        if self._lingering or self.transport.is_closing():
            return
        if self._head_bytes + len(self.url) > self._limits.header_bytes_max:
            self._refuse_large_head()
            return
        version = self.parser.get_http_version()
        if version == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            # RFC 9112, section 3.2
            message = "The request has no Host header, or several."
            self._refuse_in_turn(400, "BadRequest", message)
            return
        method = self.parser.get_method().decode("ascii")
        scope = self._scope(method, self.url, self.headers, version)
        # After a wish to upgrade the parser stops: RFC 9110 §7.8 lets us ignore it and close.
        keep_alive = (
            scope["http_version"] == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
        )
        busy = self._exchange is not None and not self._exchange.complete
        if (
            self._answer_at_once is not None
            and not busy
            and not self.flow.write_paused
            and scope["method"] in ("GET", "HEAD")
        ):
            answer = self._answer_at_once(scope)
            if answer is not None:
                self._answered_at_once = True
                self._write_answer(answer, keep_alive)
                return
        exchange = Exchange(
            self,
            self._asgi_app,
            scope,
            expects_continue=self.expect_100_continue,
            keep_alive=keep_alive,
        )
        if busy:
            # Pipelined: waits for its turn, and the client for ours.
            self.flow.pause_reading()
            self._waiting.append(exchange)
        else:
            self._exchange = exchange
            self._run(exchange)

    def _scope(
        self, method: str, url: bytes, headers: list[tuple[bytes, bytes]], version: str
    ) -> dict[str, Any]:
        if url.startswith(b"/"):
            raw_path, _, query = url.partition(b"?")
        elif url == b"*":
            raw_path, query = url, b""
        else:
            parsed = httptools.parse_url(url)  # absolute form, RFC 9112 §3.2.2
            raw_path, query = parsed.path or b"/", parsed.query or b""
        return {
            "type": "http",
            "asgi": ASGI_VERSION,
            "http_version": version,
            "method": method,
            "scheme": self.scheme,
            "path": raw_path.decode("latin-1"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": self.client,
            "server": self.server,
        }

    def _run(self, exchange: Exchange) -> None:
        exchange.scope["trilith.answer"] = exchange.answer
        # It takes itself out of the tasks: a callback would cost every request a turn of the loop.
        exchange.task = task = self.loop.create_task(exchange.run())
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        exchange = self._waiting[-1] if self._waiting else self._exchange
        if self._answered_at_once or self._deaf or exchange is None or exchange.complete:
            return
        exchange.body_arrived(body)
        self._pause_if_much_waits(exchange)

    def _pause_if_much_waits(self, exchange: Exchange) -> None:
        if exchange.buffered > BODY_HIGH_WATER_BYTES or self.budget.held > self.budget.limit:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self._between_requests = True
        exchange = self._waiting[-1] if self._waiting else self._exchange
        if self._answered_at_once or self._deaf or exchange is None or exchange.complete:
            return
        exchange.body_ended()

    def await_body(self) -> None:
        """The application waits for the body: the client must make progress from now on."""
        self.flow.resume_reading()
        self.deadline = self.loop.time() + self._limits.body_timeout_s

    def body_awaited(self) -> None:
        self.deadline = NEVER

    # --- answering ---------------------------------------------------------------------------

    def _write_answer(self, answer: Answer, keep_alive: bool) -> None:
        close = not keep_alive or self.stopping
        self.transport.write(
            render_head(answer.status, answer.headers, close=close, chunked=False) + answer.body
        )
        if close:
            self.transport.close()
        else:
            self.deadline = self.loop.time() + self._limits.keep_alive_timeout_s

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answers a request that no application will see, and ends the connection."""
        answer = self._refuse(status, code, message)
        head = render_head(answer.status, answer.headers, close=True, chunked=False)
        self.transport.write(head + answer.body)
        self._linger()

    def exchange_complete(self, exchange: Exchange) -> None:
        """The answer is written: on to the next request, or close."""
        if self.transport.is_closing():
            return
        if not exchange.keep_alive:
            if exchange.more_body:
                self._linger()
            else:
                self.transport.close()
            return
        self.deadline = self.loop.time() + self._limits.keep_alive_timeout_s
        if self._waiting:
            self._exchange = self._waiting.popleft()
            self.deadline = NEVER
            self._run(self._exchange)
        elif self._ended:
            self.transport.close()
        if not self._waiting and self.flow.read_paused:
            self.flow.resume_reading()

    def _linger(self) -> None:
        """Ends our side and discards what still comes, for a moment.

        Closing at once would make the kernel reset the connection over unread bytes, and the
        client would lose the answer with it.
        """
        self._lingering = True
        self.deadline = self.loop.time() + LINGER_S
        self.flow.resume_reading()
        if not self.transport.is_closing() and self.transport.can_write_eof():  # not over TLS
            self.transport.write_eof()

    async def drain(self) -> None:
        """Waits until the client has taken most of what was written. Raises ClientGoneError."""
        if not self.flow.write_paused:
            return
        if self._writable is None:
            self._writable = self.loop.create_future()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                await asyncio.shield(self._writable)
        except TimeoutError as error:
            self.abort()
            raise ClientGoneError("the client stopped reading the answer") from error

    def resume_writing(self) -> None:
        if self.flow is not None:
            self.flow.resume_writing()
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
