"""S3 as a raw ASGI application: one request in, one exact answer out, one record of it.

The path of a request: read the head, route, authenticate, refuse what is not done here, run the
operation, answer. A GET or HEAD of a small object that is at hand takes the same path without
awaiting (`answer_at_once`), which saves the server a task.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

from trilith.errors import OutcomeUnknown, ServerError, TrilithError
from trilith.objects.types import Objects
from trilith.request_record import Observe, RequestRecord
from trilith.runtime.clock import Clock
from trilith.runtime.entropy import Entropy
from trilith.s3.answer import Answer, Headers
from trilith.s3.context import Context
from trilith.s3.cors_operations import headers_for_origin
from trilith.s3.dispatch import HANDLERS
from trilith.s3.errors import S3Error, from_exception
from trilith.s3.headers import hoist_parameters, refuse_unsupported
from trilith.s3.object_operations import CONSISTENCY, answer_read
from trilith.s3.operations import OF_BROWSERS
from trilith.s3.request import Request
from trilith.s3.request_head import RequestHead
from trilith.s3.routing import Router
from trilith.s3.sigv4 import SigV4Authenticator
from trilith.s3.timestamps import http_date

log = logging.getLogger("trilith.s3")

SERVER = (b"server", b"Trilith")
CLIENT_GONE = 499
ORIGIN = b"origin"
_STASHED = "trilith.s3.request"
# Who sends one of these waits for something: a body, or the CORS rules of a bucket.
_NOT_AT_ONCE = frozenset({b"content-length", b"transfer-encoding", ORIGIN})


class S3App:
    """Raw ASGI. `node_id` makes request ids unique over the cluster and shows in x-amz-id-2."""

    def __init__(
        self,
        objects: Objects,
        authenticator: SigV4Authenticator,
        clock: Clock,
        entropy: Entropy,
        observe: Observe,
        *,
        node_id: str,
        region: str,
        domains: tuple[str, ...],
        requests_inflight_max: int,
    ) -> None:
        self._objects = objects
        self._authenticate = authenticator.authenticate
        self._clock = clock
        self._observe = observe
        self._router = Router(domains)
        self._context = Context(objects, clock, region, authenticator.authenticate_form)
        self._in_flight = 0
        self._in_flight_max = requests_inflight_max
        self._host_id = b64encode(node_id.encode()).decode()
        self._host_id_header = (b"x-amz-id-2", self._host_id.encode())
        # 16 characters as AWS's: four random bytes for this start, then a count.
        self._request_prefix = entropy.token_bytes(4).hex().upper()
        self._request_count = 0
        self._date_s = 0
        self._date_header = (b"date", b"")

    @property
    def in_flight(self) -> int:
        """Requests in work that did not end at once."""
        return self._in_flight

    # --- the way in --------------------------------------------------------------------------

    def _begin(self, scope: dict[str, Any]) -> Request:
        head = RequestHead(
            scope["method"], scope["raw_path"], scope["query_string"], scope["headers"]
        )
        client = scope["client"]
        self._request_count = count = (self._request_count + 1) & 0xFFFFFFFF
        return Request(
            head,
            f"{self._request_prefix}{count:08X}",
            self._clock.monotonic(),
            client[0] if client else "",
            scope.get("scheme", "http"),
        )

    def _admit(self, request: Request) -> None:
        """Route, authenticate, screen. Raises S3Error."""
        head = request.head
        request.routed(self._router.route(head))
        if request.operation in OF_BROWSERS:
            return  # what signs a form is in its body, and nothing signs a preflight
        request.authentication = self._authenticate(head, self._router.host_bucket(head))
        if head.query.pairs:
            hoist_parameters(head)
        refuse_unsupported(request)

    def answer_at_once(self, scope: dict[str, Any]) -> Answer | None:
        """The answer to a GET or HEAD of a small object, or to a failed one; None: not at hand."""
        request = self._begin(scope)
        header_map = request.head.header_map
        if not _NOT_AT_ONCE.isdisjoint(header_map):
            scope[_STASHED] = (request, False)
            return None
        try:
            self._admit(request)
            operation = request.operation
            if operation not in ("GetObject", "HeadObject") or CONSISTENCY in header_map:
                scope[_STASHED] = (request, True)
                return None
            reader = self._objects.try_open_object(request.bucket, request.key)
            if (
                reader is None
                or (operation == "GetObject" and reader.small_body() is None)
                or (request.head.query.pairs and "partNumber" in request.parameters)
            ):
                request.reader = reader
                scope[_STASHED] = (request, True)
                return None
            answer = answer_read(request, reader.info, reader, None)
            code = ""
        except (S3Error, TrilithError) as error:
            answer, code = self._error_answer(request, error)
        except Exception as error:  # noqa: BLE001 - answered 500 and logged under its id
            answer, code = self._error_answer(request, error)
        self._record(request, answer.status, code)
        return Answer(answer.status, self._common_headers(request) + answer.headers, answer.body)

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        stashed: tuple[Request, bool] | None = scope.get(_STASHED)
        request, admitted = stashed if stashed is not None else (self._begin(scope), False)
        request.receive = receive
        if self._in_flight >= self._in_flight_max:
            answer, code = self._error_answer(request, S3Error("SlowDown"))
            await self._send(request, answer, code, send)
            return
        self._in_flight += 1
        origin = request.head.header_map.get(ORIGIN)
        try:
            try:
                if not admitted:
                    self._admit(request)
                answer, code = await self._run(request), ""
            except Exception as error:  # noqa: BLE001 - every failure is answered
                answer, code = self._error_answer(request, error)
            if origin is not None and request.bucket and request.operation != "Preflight":
                method = request.head.method
                more = await headers_for_origin(self._context, request.bucket, origin, method)
                answer = answer._replace(headers=[*answer.headers, *more])
            await self._send(request, answer, code, send)
        finally:
            self._in_flight -= 1

    async def _run(self, request: Request) -> Answer:
        handler = HANDLERS.get(request.operation)
        if handler is None:
            raise S3Error(
                "NotImplemented",
                f"The operation {request.operation} is not implemented",
                elements={"Operation": request.operation},
            )
        answer = await handler(self._context, request)
        if answer.stream is not None and request.operation == "GetObject":
            # Before the head is out, so that bytes that nobody has are an error with a status.
            answer = answer._replace(body=await anext(answer.stream, b""))
        return answer

    # --- the way out -------------------------------------------------------------------------

    async def _send(
        self,
        request: Request,
        answer: Answer,
        code: str,
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        status = answer.status
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": self._common_headers(request) + answer.headers,
                }
            )
            if answer.stream is None:
                await send({"type": "http.response.body", "body": answer.body})
            else:
                await self._send_stream(answer, send)
        except (ConnectionError, asyncio.CancelledError):
            status, code = CLIENT_GONE, "ClientGone"
            raise
        except Exception as error:
            # Headers are out: all that is left is to cut the connection, so that the client
            # cannot take the rest for the whole.
            code = from_exception(error).code
            log.exception("request %s broke off in its answer", request.request_id)
            raise ConnectionAbortedError("the answer cannot be completed") from error
        finally:
            self._record(request, status, code)

    async def _send_stream(
        self, answer: Answer, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        stream = answer.stream
        assert stream is not None
        try:
            if answer.body:
                await send({"type": "http.response.body", "body": answer.body, "more_body": True})
            async for run in stream:
                await send({"type": "http.response.body", "body": run, "more_body": True})
        finally:
            # A generator that nobody finishes would hold its chunks until it is collected.
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        await send({"type": "http.response.body", "body": b""})

    def _common_headers(self, request: Request) -> Headers:
        now_s = self._clock.wall_ms() // 1000
        if now_s != self._date_s:
            self._date_s = now_s
            self._date_header = (b"date", http_date(now_s))
        return [
            SERVER,
            self._date_header,
            (b"x-amz-request-id", request.request_id.encode()),
            self._host_id_header,
        ]

    def _error_answer(self, request: Request, error: BaseException) -> tuple[Answer, str]:
        if not isinstance(error, S3Error | TrilithError):
            log.error("request %s failed", request.request_id, exc_info=error)
        s3_error = from_exception(error)
        if isinstance(error, ServerError | OutcomeUnknown):
            log.warning("request %s: %s: %s", request.request_id, error.code, error)
        head = request.head
        headers: Headers = list(s3_error.headers)
        request.bytes_out = 0
        if s3_error.status == 304:
            return Answer(304, headers), s3_error.code
        headers.append((b"content-type", b"application/xml"))
        if head.method == "HEAD":
            # Without the document's length: HTTP clients would wait for a body that HEAD has not.
            return Answer(s3_error.status, headers), s3_error.code
        resource = head.raw_path.decode("latin-1")
        elements = dict(s3_error.elements)
        if s3_error.code == "NoSuchKey":
            elements.setdefault("Key", request.key)
        elif s3_error.code in ("NoSuchBucket", "BucketNotEmpty", "BucketAlreadyOwnedByYou"):
            elements.setdefault("BucketName", request.bucket)
        s3_error.elements = elements
        body = s3_error.to_xml(request.request_id, self._host_id, resource)
        headers.append((b"content-length", b"%d" % len(body)))
        request.bytes_out = len(body)
        return Answer(s3_error.status, headers, body), s3_error.code

    def _record(self, request: Request, status: int, code: str) -> None:
        authentication = request.authentication
        clock = self._clock
        self._observe(
            RequestRecord(
                clock.wall_ms(),
                request.request_id,
                request.operation,
                status,
                round((clock.monotonic() - request.started_s) * 1000, 3),
                request.bucket,
                request.key,
                code,
                request.bytes_in,
                request.bytes_out,
                request.remote,
                authentication.identity.access_key_id if authentication is not None else "",
                request.head.header(b"user-agent") or "",
            )
        )

    def refuse(self, status: int, code: str, message: str) -> Answer:
        """The answer to what never became a request (edge/answer.py's `Refuse`)."""
        self._request_count = count = (self._request_count + 1) & 0xFFFFFFFF
        head = RequestHead("GET", b"/", b"", [])
        request_id = f"{self._request_prefix}{count:08X}"
        request = Request(head, request_id, self._clock.monotonic(), "")
        error = S3Error(code, message)
        error.status = status
        answer, _ = self._error_answer(request, error)
        self._record(request, status, code)
        return Answer(status, self._common_headers(request) + answer.headers, answer.body)
