"""One call of a gRPC service: who makes it, how long it may take, what becomes of its errors.

Messages come and go as bytes: they are decoded here, where a malformed one is the caller's error,
and counted for the record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from trilith.edge.grpc_status import status_of, trailer_of
from trilith.errors import (
    IncompleteBody,
    InternalError,
    InvalidRequest,
    Outcome,
    OutcomeUnknown,
    ServerError,
    TrilithError,
)
from trilith.iam.credentials import Identity
from trilith.runtime.clock import Clock

log = logging.getLogger("trilith.grpc")

CALL_S_MAX = 60.0  # without a stream
IDLE_S_MAX = 60.0  # between two messages of a stream
TOKEN_SIZE = 16
_TOKEN_AHEAD_MS_MAX = 60_000
CANCELLED = grpc.StatusCode.CANCELLED.value[0]
_UNDECODABLE = (DecodeError, UnicodeDecodeError)


class Call:
    """Facts of a call in work. Services fill in `resource` and `key` (bucket and key, or table)."""

    __slots__ = (
        "_clock",
        "bytes_in",
        "bytes_out",
        "context",
        "identity",
        "key",
        "operation",
        "request_id",
        "resource",
        "started_s",
    )

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        clock: Clock,
        operation: str,
        request_id: str,
        identity: Identity,
    ) -> None:
        self.context = context
        self._clock = clock
        self.operation = operation
        self.request_id = request_id
        self.identity = identity
        self.started_s = clock.monotonic()
        self.resource = ""
        self.key = ""
        self.bytes_in = 0
        self.bytes_out = 0

    def decode(self, raw: bytes, message_type: type[Message]) -> Any:
        """Raises InvalidRequest."""
        self.bytes_in += len(raw)
        try:
            return message_type.FromString(raw)
        except _UNDECODABLE:
            raise InvalidRequest(f"the request is no {message_type.DESCRIPTOR.name}") from None

    async def next_message(
        self, messages: AsyncIterator[bytes], message_type: type[Message]
    ) -> Any | None:
        """The next of a client's stream, None at its end. Raises IncompleteBody, InvalidRequest."""
        try:
            async with asyncio.timeout(IDLE_S_MAX):
                raw = await anext(messages)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise IncompleteBody(f"nothing of the body came for {IDLE_S_MAX:g} s") from None
        return self.decode(raw, message_type)

    async def send(self, message: Message) -> None:
        """One more of a server's stream; waits while the client does not read."""
        raw = message.SerializeToString()
        self.bytes_out += len(raw)
        async with asyncio.timeout(IDLE_S_MAX):
            await self.context.write(raw)

    def token(self, token: bytes) -> bytes | None:
        """A request token as it came, None where none did. Raises InvalidRequest."""
        if not token:
            return None
        if len(token) != TOKEN_SIZE:
            raise InvalidRequest(f"a token has {TOKEN_SIZE} bytes: make it a UUIDv7")
        if int.from_bytes(token[:6], "big") > self._clock.wall_ms() + _TOKEN_AHEAD_MS_MAX:
            raise InvalidRequest("the token's time is in the future: compare the clocks")
        return token

    def time_left_s(self) -> float:
        """Of a call without a stream."""
        left_s = self.context.time_remaining()
        return CALL_S_MAX if left_s is None else min(left_s, CALL_S_MAX)


def as_domain(error: Exception, call: Call) -> TrilithError:
    """The domain error of anything that was raised; what nobody expected is logged."""
    if isinstance(error, TrilithError):
        if isinstance(error, ServerError) or error.outcome is Outcome.UNKNOWN:
            log.warning("request %s: %s: %s", call.request_id, error.code, error)
        return error
    if isinstance(error, TimeoutError):
        return OutcomeUnknown("the call took too long")
    if isinstance(error, RecursionError):
        return InvalidRequest("the request is nested too deep")
    log.error("request %s failed", call.request_id, exc_info=error)
    return InternalError("internal error")


async def abort(
    context: grpc.aio.ServicerContext[Any, Any], error: TrilithError, request_id: str
) -> None:
    """End the call with an error. Always raises."""
    await context.abort(status_of(error), error.message, trailer_of(error, request_id))
