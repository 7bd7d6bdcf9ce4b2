"""The log of requests: one JSON object a line, buffered, written off the event loop.

Bounded: when the disk is slower than the requests, lines are dropped and counted (the count is
itself logged), never queued without end. `close` writes everything that was accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from trilith.request_record import RequestRecord

log = logging.getLogger("trilith.edge")

FLUSH_INTERVAL_S = 0.25
BUFFER_BYTES_MAX = 4 << 20


class DroppedRecord(msgspec.Struct):
    """Says that `lines` lines are missing here."""

    time_ms: int
    lines: int
    event: str = "access_log_dropped"


class AccessLog:
    """Collects records and hands them to `write` (blocking; called in a worker thread)."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._encode_into = msgspec.json.Encoder().encode_into
        self._buffer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._dropped = 0
        self._dropped_time_ms = 0
        self.dropped_total = 0

    def append(self, record: RequestRecord) -> None:
        buffer = self._buffer
        if len(buffer) > BUFFER_BYTES_MAX:
            self._dropped += 1
            self.dropped_total += 1
            self._dropped_time_ms = record.time_ms
            return
        self._encode_into(record, buffer, -1)
        buffer += b"\n"
        if self._timer is None and self._writing is None:
            self._schedule()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL_S, self._flush)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._cancel_timer()
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if lines := self._take():
                await loop.run_in_executor(None, self._write, lines)
        except OSError:
            log.exception("the access log cannot be written; its lines are lost")
        finally:
            self._writing = None
            # Not at once: a thread is woken four times a second, however many requests there are.
            if self._buffer and self._timer is None:
                self._schedule()

    def _take(self) -> bytes:
        lines, self._buffer = self._buffer, bytearray()
        if self._dropped:
            record = DroppedRecord(self._dropped_time_ms, self._dropped)
            lines += msgspec.json.encode(record) + b"\n"
            self._dropped = 0
        return bytes(lines)

    async def close(self) -> None:
        """Returns when everything accepted is written."""
        while self._writing is not None or self._buffer or self._dropped:
            if self._writing is None:
                self._flush()
            if self._writing is not None:
                await self._writing
        self._cancel_timer()
