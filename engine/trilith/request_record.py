"""What is remembered of a finished request: an access log line, and what metrics count.

Below every protocol, so that each reports alike and none knows who listens.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class RequestRecord(msgspec.Struct, omit_defaults=True):
    """One request. `duration_ms` runs from the complete header section to the answer's end."""

    time_ms: int
    request_id: str
    operation: str
    status: int
    duration_ms: float
    bucket: str = ""
    key: str = ""
    error_code: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    remote: str = ""
    access_key: str = ""
    user_agent: str = ""
    event: str = "request"


# Told of each request once its answer has ended, well or not.
Observe = Callable[[RequestRecord], None]
