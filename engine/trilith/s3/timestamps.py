"""The two forms in which S3 writes instants, and the dates that conditions carry."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache


@lru_cache(maxsize=8192)
def http_date(seconds: int) -> bytes:
    """RFC 9110 IMF-fixdate of Unix seconds."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True).encode()


@lru_cache(maxsize=4096)
def _iso_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso_ms(milliseconds: int) -> str:
    """`2026-01-31T00:00:00.000Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_iso_second(seconds)}.{rest:03d}Z"


def parse_http_date(text: str) -> int | None:
    """Unix seconds, or None: a date that does not parse is no condition (RFC 9110 §13.1.3)."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return int(moment.timestamp())
    except (OverflowError, ValueError):
        return None
