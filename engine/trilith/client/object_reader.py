# Made from async_object_reader.py by `make blocking`: change that one.
"""An open object of the blocking client."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from trilith.client.failures import failure_of
from trilith.client.object_calls import GET_OBJECT
from trilith.client.reading import Progress
from trilith.client.retries import Attempts
from trilith.client.session import Session
from trilith.client.types import ObjectInfo
from trilith.errors import TrilithError


class ObjectReader:
    """Reads one version of an object; memory is bounded by a message, whatever the size.

    Iterate over it, `read`, or `save` it; then `close`, or use it as a context manager. A node
    that dies meanwhile is survived: the stream goes on at another.
    """

    def __init__(self, session: Session, progress: Progress, timeout_s: float) -> None:
        self._session = session
        self._progress = progress
        self._timeout_s = timeout_s
        self._stream: Any = None
        self._address = ""
        self._rest = b""
        self._first = b""
        self._attempts: Attempts | None = None

    def open(self) -> Self:
        """Raises ObjectNotFound and its like."""
        self._retrying(self._open)
        return self

    @property
    def info(self) -> ObjectInfo:
        return self._progress.info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the stream, also one that was not read to its end."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def __iter__(self) -> Iterator[bytes]:
        if self._rest:
            rest, self._rest = self._rest, b""
            yield rest
        while data := self._next():
            yield data

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left by default; b"" at the end."""
        if size < 0:
            return b"".join(self)
        taken = io.BytesIO()
        while size > 0:
            data, self._rest = self._rest or self._next(), b""
            if not data:
                break
            self._rest = data[size:]
            size -= taken.write(data[:size])
        return taken.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what is left into a file, which appears under its name only when it is whole."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with open(partial, "wb") as file:
                for data in self:
                    file.write(data)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    # --- the stream ------------------------------------------------------------------------------

    def _next(self) -> bytes:
        """The next run; b"" at the end."""
        if not self._progress.left:
            self.close()
            return b""
        data = self._retrying(self._receive)
        self._attempts = None  # the next failure is a new one
        self._progress.took(data)
        return data

    def _open(self) -> bytes:
        self._address = self._session.address()
        request = self._progress.request()
        self._stream = self._session.stream(GET_OBJECT, request, self._address)
        first = self._stream.read()
        self._progress.opened(first)
        self._first = first.data
        return b""

    def _receive(self) -> bytes:
        if self._stream is None:
            self._open()
        data, self._first = self._first, b""
        while not data:
            message = self._stream.read()
            if message is None:
                self._progress.require_end()
                return b""
            data = message.data
        return data

    def _retrying(self, step: Callable[[], bytes]) -> bytes:
        while True:
            try:
                return step()
            except grpc.RpcError as error:
                self._wait(failure_of(error))
            except BaseException:
                self.close()
                raise

    def _wait(self, failure: TrilithError) -> None:
        self.close()
        now_s = time.monotonic()
        if self._attempts is None:
            self._attempts = Attempts(now_s, self._timeout_s, repeatable=True)
        elsewhere = self._session.leave(self._address, failure)
        time.sleep(self._attempts.pause_s(failure, now_s, elsewhere=elsewhere))
