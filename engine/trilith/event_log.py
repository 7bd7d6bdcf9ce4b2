"""What happens in a node: one JSON object a line, beside the request lines in the same log."""

from __future__ import annotations

import logging
import traceback as tracebacks
from collections.abc import Callable
from typing import Any

import msgspec

from trilith.runtime.clock import Clock


class EventLog:
    """`events(name, **facts)`. Never for secrets, never on the path of a request."""

    def __init__(self, write: Callable[[bytes], object], clock: Clock, node: str) -> None:
        self.node = node
        self._write = write
        self._clock = clock

    def __call__(self, event: str, *, traceback: bool = False, **facts: Any) -> None:
        """`traceback`: add that of the exception being handled."""
        line = {"time_ms": self._clock.wall_ms(), "event": event, "node": self.node, **facts}
        if traceback:
            line["traceback"] = tracebacks.format_exc()
        self._write(msgspec.json.encode(line, enc_hook=str) + b"\n")

    def handler(self) -> logging.Handler:
        """For the standard library's and other packages' log records."""
        return _Handler(self)


class _Handler(logging.Handler):
    def __init__(self, events: EventLog) -> None:
        super().__init__()
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, Any] = {"level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            facts["traceback"] = "".join(tracebacks.format_exception(*record.exc_info))
        self._events("log", message=record.getMessage(), **facts)
