"""What becomes of a finished request: a line in the access log and the counts of the metrics."""

from __future__ import annotations

from trilith.edge.access_log import AccessLog
from trilith.edge.metrics import RequestMetrics
from trilith.edge.table_metrics import TableMetrics
from trilith.request_record import RequestRecord


class RequestObserver:
    """Called by a protocol's application once for each request. `access_log` None: no lines."""

    def __init__(
        self,
        metrics: RequestMetrics,
        access_log: AccessLog | None,
        tables: TableMetrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._tables = tables

    def __call__(self, record: RequestRecord) -> None:
        self._metrics.record(record)
        if self._tables is not None:
            self._tables.record(record)
        if self._access_log is not None:
            self._access_log.append(record)
