"""What becomes of a finished request: a line in the access log and the counts of the metrics."""

from __future__ import annotations

from trilith.edge.access_log import AccessLog, AccessRecord
from trilith.edge.metrics import RequestMetrics
from trilith.runtime.clock import Clock


class RequestObserver:
    """Called by a protocol's application once for each request. `access_log` None: no lines."""

    def __init__(self, metrics: RequestMetrics, access_log: AccessLog | None, clock: Clock) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._clock = clock

    def __call__(
        self,
        request_id: str,
        operation: str,
        bucket: str,
        key: str,
        status: int,
        error_code: str,
        bytes_in: int,
        bytes_out: int,
        seconds: float,
        remote: str,
        access_key: str,
        user_agent: str,
    ) -> None:
        self._metrics.record(operation, error_code or str(status), seconds, bytes_in, bytes_out)
        if self._access_log is not None:
            self._access_log.append(
                AccessRecord(
                    self._clock.wall_ms(),
                    request_id,
                    operation,
                    status,
                    round(seconds * 1000, 3),
                    bucket,
                    key,
                    error_code,
                    bytes_in,
                    bytes_out,
                    remote,
                    access_key,
                    user_agent,
                )
            )
