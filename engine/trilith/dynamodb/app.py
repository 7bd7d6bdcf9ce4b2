"""DynamoDB as a raw ASGI application: one request in, one exact answer out, one record of it.

The path of a request: name the operation, look at who claims to send it, read the body (bounded),
verify the signature over it, decode, run the operation, answer with the body's checksum.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

from msgspec.structs import replace

from trilith.dynamodb import compression, wire
from trilith.dynamodb.authentication import Authenticator, verify
from trilith.dynamodb.context import Context
from trilith.dynamodb.errors import DynamoDBError, from_domain, serialization, validation
from trilith.dynamodb.invocations import WRITES, token_of
from trilith.dynamodb.routing import handler_of, operation_of
from trilith.dynamodb.validation import validate
from trilith.errors import InvalidRequest, OutcomeUnknown, ServerError, TrilithError
from trilith.request_record import Observe, RequestRecord
from trilith.runtime.clock import Clock
from trilith.runtime.entropy import Entropy

log = logging.getLogger("trilith.dynamodb")

CLIENT_GONE = 499
SERVER = (b"server", b"Trilith")
BODIES_BYTES_MAX = 128 << 20  # of all requests in work
_DEFLATED_AT_ONCE_MAX = 64 << 10  # a millisecond; more is done beside the event loop
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PREFIX_CHARACTERS = 36


class _Request:
    """What is known of a request for its record."""

    __slots__ = (
        "access_key",
        "bytes_in",
        "inflated",
        "operation",
        "request_id",
        "started_s",
        "table",
    )

    def __init__(self, request_id: str, started_s: float) -> None:
        self.request_id = request_id
        self.started_s = started_s
        self.operation = ""
        self.access_key = ""
        self.table = ""
        self.bytes_in = 0
        self.inflated = 0  # bytes of the body, if it came compressed


class DynamoDBApp:
    """Raw ASGI. `context` holds what operations reach."""

    def __init__(
        self,
        context: Context,
        authenticator: Authenticator,
        clock: Clock,
        entropy: Entropy,
        observe: Observe,
        *,
        requests_inflight_max: int,
    ) -> None:
        self._context = context
        self._authenticator = authenticator
        self._clock = clock
        self._observe = observe
        self._in_flight = 0
        self._in_flight_max = requests_inflight_max
        self._bodies_bytes = 0
        # 52 characters as AWS's: random ones for this start, then a count.
        random_bytes = entropy.token_bytes(_PREFIX_CHARACTERS)
        self._request_prefix = "".join([_ALPHABET[byte % 36] for byte in random_bytes])
        self._request_count = 0
        self._date_s = 0
        self._date_header = (b"date", b"")

    @property
    def in_flight(self) -> int:
        """Requests in work."""
        return self._in_flight

    def _begin(self) -> _Request:
        self._request_count = count = self._request_count + 1
        return _Request(f"{self._request_prefix}{count:016X}", self._clock.monotonic())

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        request = self._begin()
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        header_map = dict(headers)
        if len(header_map) != len(headers):
            header_map = wire.merged(headers)
        code = ""
        self._in_flight += 1
        try:
            try:
                if scope["method"] == "POST":
                    body = await self._serve(request, scope, header_map, receive)
                    if len(body) < compression.DEFLATE_BYTES_MIN:
                        answer = self._answer(200, body, request)
                    else:
                        answer = await self._long_answer(body, request, header_map)
                else:
                    answer = self._without_operation(request, scope, header_map)
            except Exception as error:  # noqa: BLE001 - every failure is answered
                answer, code = self._error_answer(request, error)
            if b"origin" in header_map:
                answer.headers.extend(wire.cross_origin_headers(scope["method"], header_map))
            await self._send(request, scope, answer, code, header_map, send)
        finally:
            self._in_flight -= 1
            self._bodies_bytes -= request.bytes_in + request.inflated

    async def _serve(
        self,
        request: _Request,
        scope: dict[str, Any],
        header_map: dict[bytes, bytes],
        receive: Callable[[], Awaitable[dict[str, Any]]],
    ) -> bytes:
        if self._in_flight > self._in_flight_max:
            raise DynamoDBError("ThrottlingException", "Rate exceeded")
        target = header_map.get(b"x-amz-target", b"")
        request.operation = operation = operation_of(target)
        presented = self._authenticator.present(header_map)
        request.access_key = presented.identity.access_key_id
        whole: bytes | None = scope.get("trilith.body")  # edge/protocol.py
        if whole is None:
            body = await self._read_body(request, header_map, receive)
        else:
            body = self._count_whole(request, whole)
        verify(
            presented,
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            header_map,
            body,
        )
        handler = handler_of(operation)
        encoding = header_map.get(b"content-encoding")
        if encoding is not None:
            body = self._inflate(request, body, encoding.decode("latin-1").strip().lower())
        document = validate(operation, wire.decode_body(body))
        request.table = document.get("TableName", "")
        context = self._context
        if operation in WRITES:
            token = token_of(header_map, body, self._clock.wall_ms())
            if token is not None:
                context = replace(context, token=token)
        return await handler(context, document)

    def _count_whole(self, request: _Request, body: bytes) -> bytes:
        """A body that came in one read of the connection, and so is far below the limit of one."""
        request.bytes_in = len(body)
        self._bodies_bytes += len(body)
        if self._bodies_bytes > BODIES_BYTES_MAX:
            raise DynamoDBError("ThrottlingException", "Rate exceeded")
        return body

    async def _read_body(
        self,
        request: _Request,
        header_map: dict[bytes, bytes],
        receive: Callable[[], Awaitable[dict[str, Any]]],
    ) -> bytes:
        length = header_map.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > compression.BODY_BYTES_MAX:
            raise compression.too_large()
        message = await receive()
        pieces: list[bytes] = []
        while True:
            if message["type"] == "http.disconnect":
                raise ConnectionAbortedError("the client left before its body ended")
            piece = message["body"]
            request.bytes_in += len(piece)
            self._bodies_bytes += len(piece)
            if request.bytes_in > compression.BODY_BYTES_MAX:
                raise compression.too_large()
            if self._bodies_bytes > BODIES_BYTES_MAX:
                raise DynamoDBError("ThrottlingException", "Rate exceeded")
            if not message["more_body"]:
                break
            pieces.append(piece)
            message = await receive()
        if not pieces:
            return piece  # type: ignore[no-any-return]
        pieces.append(piece)
        return b"".join(pieces)

    def _inflate(self, request: _Request, body: bytes, encoding: str) -> bytes:
        plain = compression.inflate(body, encoding)
        if plain is body:
            return body
        request.inflated = len(plain)
        self._bodies_bytes += len(plain)
        if self._bodies_bytes > BODIES_BYTES_MAX:
            raise DynamoDBError("ThrottlingException", "Rate exceeded")
        return plain

    def _without_operation(
        self, request: _Request, scope: dict[str, Any], header_map: dict[bytes, bytes]
    ) -> wire.Answer:
        """`GET /` says that the server is there, and OPTIONS from another origin what is allowed;
        nothing else is served without POST.
        """
        method: str = scope["method"]
        if method == "OPTIONS" and b"origin" in header_map:
            request.operation = "Preflight"
            return self._answer(200, b"", request)
        if method not in ("GET", "HEAD"):
            raise DynamoDBError("UnknownOperationException", f"{method} is not an operation")
        if scope["raw_path"] != b"/":
            missing = DynamoDBError("UnknownOperationException", "There is nothing but /")
            missing.status = 404
            raise missing
        request.operation = "HealthCheck"
        host = header_map.get(b"host", b"").decode("latin-1")
        return self._answer(200, f"healthy: {host} ".encode(), request)

    # --- the way out -----------------------------------------------------------------------------

    def _answer(
        self, status: int, body: bytes, request: _Request, *further: tuple[bytes, bytes]
    ) -> wire.Answer:
        now_s = self._clock.wall_ms() // 1000
        if now_s != self._date_s:  # SDKs correct their clocks by it
            self._date_s = now_s
            self._date_header = (b"date", formatdate(now_s, usegmt=True).encode())
        return wire.json_answer(
            status, body, request.request_id, SERVER, self._date_header, *further
        )

    async def _long_answer(
        self, body: bytes, request: _Request, header_map: dict[bytes, bytes]
    ) -> wire.Answer:
        """In the encoding that its caller prefers; most say `identity`, or nothing."""
        accepted = header_map.get(b"accept-encoding", b"identity")
        encoding = ""
        if accepted != b"identity":
            encoding = compression.preferred(accepted.decode("latin-1"))
        if not encoding:
            return self._answer(200, body, request)
        if len(body) <= _DEFLATED_AT_ONCE_MAX:
            body = compression.deflate(body, encoding)
        else:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(None, compression.deflate, body, encoding)
        return self._answer(200, body, request, (b"content-encoding", encoding.encode()))

    def _error_answer(self, request: _Request, error: Exception) -> tuple[wire.Answer, str]:
        if isinstance(error, ConnectionError):
            raise error
        if isinstance(error, DynamoDBError):
            found = error
        elif isinstance(error, InvalidRequest):
            found = validation(error.message)
        elif isinstance(error, TrilithError):
            found = from_domain(error)
            if isinstance(error, ServerError | OutcomeUnknown):
                log.warning("request %s: %s: %s", request.request_id, error.code, error)
        elif isinstance(error, RecursionError):
            found = serialization("The request is nested too deep")
        else:
            log.error("request %s failed", request.request_id, exc_info=error)
            found = DynamoDBError("InternalServerError", "Internal server error")
        return self._answer(found.status, found.to_json(), request), found.name

    async def _send(
        self,
        request: _Request,
        scope: dict[str, Any],
        answer: wire.Answer,
        code: str,
        header_map: dict[bytes, bytes],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        status = answer.status
        try:
            at_once = scope.get("trilith.answer")  # edge/exchange.py
            if at_once is None or not at_once(status, answer.headers, answer.body):
                start = {"type": "http.response.start", "status": status, "headers": answer.headers}
                await send(start)
                await send({"type": "http.response.body", "body": answer.body})
        except (ConnectionError, asyncio.CancelledError):
            status, code = CLIENT_GONE, "ClientGone"
            raise
        finally:
            clock, client = self._clock, scope["client"]
            self._observe(
                RequestRecord(
                    clock.wall_ms(),
                    request.request_id,
                    request.operation,
                    status,
                    round((clock.monotonic() - request.started_s) * 1000, 3),
                    request.table,
                    "",
                    code,
                    request.bytes_in,
                    len(answer.body),
                    client[0] if client else "",
                    request.access_key,
                    header_map.get(b"user-agent", b"").decode("latin-1"),
                )
            )

    def refuse(self, status: int, code: str, message: str) -> wire.Answer:
        """The answer to what never became a request (edge/answer.py's `Refuse`)."""
        request = self._begin()
        error = DynamoDBError(_REFUSALS.get(code, code), message)
        return self._answer(status, error.to_json(), request)


_REFUSALS = {
    "SlowDown": "ThrottlingException",
    "InternalError": "InternalServerError",
    "BadRequest": "SerializationException",
}
