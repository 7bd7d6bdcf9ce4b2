"""An open object, whichever client reads it: what comes next after a failure. No I/O.

A stream that breaks off is opened again where it stopped, at another node, as long as the object
is the same version.
"""

from __future__ import annotations

from collections.abc import Callable

from trilith.client.object_calls import Range, get_request
from trilith.client.types import ObjectInfo, object_info
from trilith.errors import ConditionalConflict, IncompleteBody
from trilith.wire.v1 import objects_pb2 as wire

Request = Callable[[], wire.GetObjectRequest]


class Progress:
    """How much of the wanted bytes has come."""

    def __init__(self, bucket: str, key: str, wanted: Range | None, *, eventual: bool) -> None:
        self._bucket = bucket
        self._key = key
        self._wanted = wanted
        self._eventual = eventual
        self._info: ObjectInfo | None = None
        self._next = 0  # offset in the object
        self._last = -1

    @property
    def info(self) -> ObjectInfo:
        assert self._info is not None
        return self._info

    @property
    def left(self) -> int:
        """Bytes that have not come."""
        return self._last + 1 - self._next

    def request(self) -> wire.GetObjectRequest:
        """For the first stream, or for one that goes on."""
        wanted = self._wanted
        if self._info is not None and self._next <= self._last:
            wanted = (self._next, self._last)
        return get_request(self._bucket, self._key, wanted, eventual=self._eventual)

    def opened(self, message: wire.GetObjectResponse) -> None:
        """The first message of a stream. Raises ConditionalConflict."""
        info = object_info(message.info)
        if self._info is None:
            self._info = info
            self._next, self._last = 0, info.size - 1
            if self._wanted is not None:
                first, last = self._wanted
                self._next = max(0, info.size + first) if first < 0 else first
                self._last = min(info.size - 1, info.size - 1 if last is None else last)
        elif info.version_id != self._info.version_id:
            raise ConditionalConflict("the object was overwritten while it was being read")

    def took(self, data: bytes) -> None:
        self._next += len(data)

    def require_end(self) -> None:
        """At the end of a stream. Raises IncompleteBody."""
        if self.left:
            raise IncompleteBody(f"the stream ended {self.left} bytes early")
