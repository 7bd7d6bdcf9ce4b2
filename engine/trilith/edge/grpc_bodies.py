"""A client's stream of messages as objects.types.Body: one message at a time, so memory is bounded.

Messages are PutObjectRequest or PutPartRequest: a head in the first, data in all, `last` in the
last. A stream that ends before is one that broke off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from trilith.edge.grpc_call import Call
from trilith.errors import EntityTooLarge, IncompleteBody, InvalidRequest
from trilith.objects.digests import DEFAULT_ALGORITHM, RunningChecksum
from trilith.objects.types import Checksum

DATA_BYTES_MAX = 1 << 20  # of one message


class ReceivedBody:
    """`checksum`: the algorithm, None for none. `token`: what came last of a caller's token."""

    def __init__(
        self,
        call: Call,
        messages: AsyncIterator[bytes],
        first: Any,
        *,
        size_max: int,
        checksum: str | None = DEFAULT_ALGORITHM,
    ) -> None:
        """Raises EntityTooLarge."""
        self._call = call
        self._messages = messages
        self._type: type[Message] = type(first)
        self._first: bytes = first.data
        self._is_whole: bool = first.last
        self._size_max = size_max
        self.token: bytes = getattr(first, "token", b"")
        self._received = 0
        self._checksum = None if checksum is None else RunningChecksum(checksum)
        self.size: int | None = first.head.size if first.head.HasField("size") else None
        if self.size is not None and not 0 <= self.size <= size_max:
            raise EntityTooLarge(f"a body has at most {size_max >> 30} GiB", size=self.size)

    async def read(self) -> bytes:
        data, self._first = self._first, b""
        while not data and not self._is_whole:
            message = await self._call.next_message(self._messages, self._type)
            if message is None:
                raise IncompleteBody(f"the stream broke off after {self._received} bytes")
            if message.HasField("head"):
                raise InvalidRequest("only the first message of a body has a head")
            data = message.data
            self._is_whole = message.last
            self.token = getattr(message, "token", b"") or self.token
        if not data:
            if self.size is not None and self._received != self.size:
                raise IncompleteBody(f"the body has {self._received} of {self.size} bytes")
            return b""
        if len(data) > DATA_BYTES_MAX:
            raise InvalidRequest(f"a message has at most {DATA_BYTES_MAX} bytes of data")
        self._received += len(data)
        if self._received > (self._size_max if self.size is None else self.size):
            raise EntityTooLarge("the body is longer than it may be", size=self._received)
        if self._checksum is not None:
            self._checksum.update(data)
        return data

    def checksum(self) -> Checksum | None:
        return None if self._checksum is None else self._checksum.result()
