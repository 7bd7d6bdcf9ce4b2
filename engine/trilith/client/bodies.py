"""Bodies of objects on their way to the service, in pieces that a message takes.

bytes, bytearray, memoryview    as it is
os.PathLike                     the file's contents
a binary file                   from where it stands to its end
an iterable of bytes            once: such a put is not made again after a failure
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import IO, Any

from trilith.client.access import new_request_token

PIECE_BYTES = 256 << 10
Data = bytes | bytearray | memoryview | os.PathLike[str] | IO[bytes] | Iterable[bytes]


class Source:
    """A body, its size in bytes where it is known, and whether it can be read again."""

    size: int | None = None
    is_repeatable = False

    def pieces(self) -> Iterator[bytes]:
        raise NotImplementedError


class BodyStream:
    """The messages of one body, as often as they are sent: a head, data, and a last one.

    `failure` is what reading the body raised: the stream ends early, and its answer does not count.
    """

    def __init__(self, head: Any, source: Source, last: Any) -> None:
        """Messages of one type. A `last` that has room for a token gets one: see `closing`."""
        self._head = head
        self._source = source
        self._last = last
        self.is_repeatable = source.is_repeatable
        self.failure: Exception | None = None

    def messages(self) -> Iterator[Any]:
        self.failure = None
        message = type(self._head)
        yield self._head
        try:
            for piece in self._source.pieces():
                yield message(data=piece)
        except Exception as error:  # noqa: BLE001 - told to the caller by who sends this
            self.failure = error
            return  # without a last message nothing is stored
        yield closing(self._last)


def closing(last: Any) -> Any:
    """The last message, always with the same token: made when the body has ended for the first
    time, since the engine's memory is short.
    """
    if "token" in last.DESCRIPTOR.fields_by_name and not last.token:
        last.token = new_request_token()
    return last


class _Bytes(Source):
    is_repeatable = True

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self.size = len(self._view)

    def pieces(self) -> Iterator[bytes]:
        for at in range(0, len(self._view), PIECE_BYTES):
            yield bytes(self._view[at : at + PIECE_BYTES])


class _Path(Source):
    is_repeatable = True

    def __init__(self, path: os.PathLike[str]) -> None:
        self._path = path
        self.size = os.stat(path).st_size

    def pieces(self) -> Iterator[bytes]:
        with open(self._path, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece


class FileSlice(Source):
    """A run of a file's bytes."""

    is_repeatable = True

    def __init__(self, path: str | os.PathLike[str], offset: int, size: int) -> None:
        self._path = path
        self._offset = offset
        self.size: int = size

    def pieces(self) -> Iterator[bytes]:
        """Fewer than `size` where the file has become shorter."""
        left = self.size
        with open(self._path, "rb") as file:
            file.seek(self._offset)
            while left and (piece := file.read(min(left, PIECE_BYTES))):
                left -= len(piece)
                yield piece


class _File(Source):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._start = 0
        self.is_repeatable = file.seekable()
        if self.is_repeatable:
            self._start = file.tell()
            self.size = file.seek(0, os.SEEK_END) - self._start
            file.seek(self._start)

    def pieces(self) -> Iterator[bytes]:
        if self.is_repeatable:
            self._file.seek(self._start)
        while piece := self._file.read(PIECE_BYTES):
            if not isinstance(piece, bytes):
                raise TypeError("the file is open for text: open it with mode 'rb'")
            yield piece


class _Iterable(Source):
    def __init__(self, runs: Iterable[bytes]) -> None:
        self._runs = iter(runs)

    def pieces(self) -> Iterator[bytes]:
        for run in self._runs:
            yield from split(run)


def split(run: bytes) -> Iterator[bytes]:
    """A run of bytes in pieces."""
    if not isinstance(run, bytes | bytearray | memoryview):
        raise TypeError(f"a body is made of bytes, not of {type(run).__name__}")
    if isinstance(run, bytes) and len(run) <= PIECE_BYTES:
        yield run
    else:
        yield from _Bytes(run).pieces()


def source_of(data: Data | FileSlice) -> Source:
    """Raises TypeError."""
    if isinstance(data, FileSlice):
        return data
    if isinstance(data, bytes | bytearray | memoryview):
        return _Bytes(data)
    if isinstance(data, os.PathLike):
        return _Path(data)
    if isinstance(data, str):
        raise TypeError("a body is bytes, not str: encode it, or give a pathlib.Path for a file")
    readable: Any = data
    if hasattr(readable, "read"):
        return _File(readable)
    if isinstance(data, Iterable):
        return _Iterable(data)
    raise TypeError(f"a body is bytes, a file or an iterable of bytes, not {type(data).__name__}")
