"""Calls with bodies over a bulk link: framing, matching of answers, deadlines.

A frame is a small msgpack prefix and a raw body: `prefix length u32, prefix, body`, so that a
megabyte is never copied into an encoder.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from trilith.errors import DeadlineExceeded, OutcomeUnknown, TrilithError, from_wire
from trilith.runtime.network import Buffer

_LENGTH = struct.Struct("<I")


class Request(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    call_id: int
    method: str
    header: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    call_id: int
    header: bytes
    error: tuple[str, str, dict[str, Any]] | None = None


_decoder = msgspec.msgpack.Decoder(Request | Answer)
_encoder = msgspec.msgpack.Encoder()


def encode(prefix: Request | Answer, body: Buffer) -> list[Buffer]:
    """The buffers of one frame."""
    head = _encoder.encode(prefix)
    return [_LENGTH.pack(len(head)), head, body] if len(body) else [_LENGTH.pack(len(head)), head]


def decode(frame: memoryview) -> tuple[Request | Answer, memoryview]:
    """Prefix and body. Raises struct.error or UNDECODABLE for bytes that are neither."""
    (length,) = _LENGTH.unpack_from(frame)
    end = _LENGTH.size + length
    return _decoder.decode(frame[_LENGTH.size : end]), frame[end:]


class PendingCalls:
    """Calls sent over one link and not yet answered."""

    def __init__(self) -> None:
        self._next_id = 0
        self._futures: dict[int, asyncio.Future[tuple[bytes, memoryview]]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    async def call(
        self,
        send: Callable[[list[Buffer]], None],
        method: str,
        header: bytes,
        body: Buffer,
        deadline_s: float,
    ) -> tuple[bytes, memoryview]:
        """Raises what the handler raised, OutcomeUnknown when the link broke or time ran out."""
        self._next_id += 1
        call_id = self._next_id
        future: asyncio.Future[tuple[bytes, memoryview]] = (
            asyncio.get_running_loop().create_future()
        )
        self._futures[call_id] = future
        try:
            send(encode(Request(call_id, method, header), body))
            async with asyncio.timeout(deadline_s):
                return await future
        except TimeoutError:
            raise OutcomeUnknown(f"no answer to {method} within {deadline_s} s") from None
        finally:
            self._futures.pop(call_id, None)

    def answered(self, answer: Answer, body: memoryview) -> None:
        future = self._futures.get(answer.call_id)
        if future is None or future.done():
            return  # its caller gave up
        if answer.error is not None:
            future.set_exception(from_wire(*answer.error))
        else:
            future.set_result((answer.header, body))

    def fail_all(self, peer_id: str) -> None:
        for future in self._futures.values():
            if not future.done():
                future.set_exception(OutcomeUnknown(f"the link to {peer_id} broke"))


def error_answer(call_id: int, error: TrilithError | DeadlineExceeded) -> Answer:
    return Answer(call_id, b"", (error.code, error.message, error.details))
