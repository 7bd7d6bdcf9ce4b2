"""HTTP connections: any bytes, in any pieces, through the edge's own protocol."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from tests.fuzz.target import pieces_of, target
from uvicorn.config import Config
from uvicorn.server import ServerState

from trilith.edge.answer import Answer, refuse_in_text
from trilith.edge.protocol import BodyBudget, ConnectionLimits, HttpProtocol

LOOP = asyncio.new_event_loop()
LIMITS = ConnectionLimits(
    connections_max=1,
    header_bytes_max=512,
    header_timeout_s=60.0,
    body_timeout_s=60.0,
    keep_alive_timeout_s=60.0,
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ROUNDS_MAX = 400
Seen = tuple[str, bytes, bytes, tuple[tuple[bytes, bytes], ...], bytes]


class Wire(asyncio.Transport):
    """The transport of a connection in memory; obeys `pause_reading` as a socket does."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written = b""
        self.reading = True
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.closing, "written behind the end"
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True


class Echo:
    """Answers each request with the digest of its body, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.cut = False

    def answer_at_once(self, scope: dict[str, Any]) -> Answer | None:
        headers = tuple(scope["headers"])
        names = {name for name, _ in headers}
        framed = b"content-length" in names or b"transfer-encoding" in names
        if framed or not scope["raw_path"].startswith(b"/now"):
            return None
        self.seen.append((scope["method"], scope["raw_path"], scope["query_string"], headers, b""))
        return Answer(200, [(b"content-length", b"3")], b"now" if scope["method"] == "GET" else b"")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.cut = True
                return
            body += message["body"]
            more = message["more_body"]
        headers = tuple(scope["headers"])
        self.seen.append((scope["method"], scope["raw_path"], scope["query_string"], headers, body))
        text = hashlib.md5(body).hexdigest().encode()
        if scope["raw_path"].startswith(b"/now"):
            text = b"now"
        start = [(b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": text})


class Connection:
    def __init__(self) -> None:
        self.app = Echo()
        config = Config(self.app, http=HttpProtocol, log_config=None, lifespan="off", ws="none")
        config.load()
        config.app = self.app  # type: ignore[assignment]
        self.state = ServerState()
        self.budget = BodyBudget(1 << 20)
        self.errors: list[dict[str, Any]] = []
        LOOP.set_exception_handler(lambda _, context: self.errors.append(context))
        self.protocol = HttpProtocol(
            config, self.state, LIMITS, refuse_in_text, budget=self.budget, loop=LOOP
        )
        self.malformed = False
        reject = self.protocol._reject_malformed

        def note() -> None:
            self.malformed = True
            reject()

        self.protocol._reject_malformed = note  # type: ignore[method-assign]
        self.wire = Wire()

    async def settle(self, done: Any) -> None:
        """Lets tasks run until `done()`, or until they cannot go on."""
        for _ in range(ROUNDS_MAX if self.state.tasks else 4):
            if done():
                return
            await asyncio.sleep(0)

    async def serve(self, pieces: list[bytes]) -> tuple[list[Seen], bytes]:
        wire, protocol = self.wire, self.protocol
        protocol.connection_made(wire)
        for piece in pieces:
            await self.settle(lambda: wire.reading)
            if wire.closing:
                break
            protocol.data_received(piece)
            await asyncio.sleep(0)
        await self.settle(lambda: not self.state.tasks)
        if not wire.closing and not protocol.eof_received():
            wire.close()
        await self.settle(lambda: not self.state.tasks)
        protocol.connection_lost(None)
        await self.settle(lambda: not self.state.tasks)
        assert not self.errors, self.errors
        assert not self.state.tasks, "a request never ends"
        assert not self.state.connections
        assert self.budget.held == 0, self.budget.held
        return self.app.seen, wire.written.replace(CONTINUE, b"")


def judge_answers(seen: list[Seen], written: bytes) -> None:
    """A client that knows HTTP finds whole answers, one behind the other, in the order it asked."""
    methods = [one[0] for one in seen]
    while written:
        head, blank, rest = written.partition(b"\r\n\r\n")
        assert blank, written
        status, *lines = head.split(b"\r\n")
        assert status.startswith(b"HTTP/1.1 "), status
        headers = dict(line.split(b": ", 1) for line in lines)
        bodiless = bool(methods) and methods.pop(0) == "HEAD"
        length = 0 if bodiless else int(headers[b"content-length"])
        assert len(rest) >= length
        written = rest[length:]
    assert not methods, "a request that was served has no answer"


@target(
    words=(
        b"GET /now HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\nhost: h\r\n",
        b"transfer-encoding: chunked\r\n",
        b"content-length: 3\r\n",
        b"expect: 100-continue\r\n",
        b"connection: close\r\n",
        b"connection: upgrade\r\nupgrade: x\r\n",
        b"\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\n",
        b"http://h/a",
        b"\r\n \r\n",
    ),
    input_bytes_max=3000,
)
def http_connection(data: bytes) -> None:
    """However the bytes are cut, the application sees the same requests, and no others."""
    whole, split = Connection(), Connection()
    seen, written = LOOP.run_until_complete(whole.serve([data] if data else []))
    judge_answers(seen, written)
    pieces = list(pieces_of(data, 12))
    seen_split, written_split = LOOP.run_until_complete(split.serve(pieces))
    judge_answers(seen_split, written_split)
    # Behind a malformed byte everything pipelined may be given up, so one may have got further.
    common = min(len(seen), len(seen_split))
    assert seen[:common] == seen_split[:common], (seen, seen_split)
    broken = whole.malformed or split.malformed
    limited = b" 400 " in written or b" 400 " in written_split
    if not broken and not limited:
        assert len(seen) == len(seen_split), (seen, seen_split)
