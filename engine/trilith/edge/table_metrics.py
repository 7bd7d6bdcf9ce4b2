"""Metrics of single tables, under the names that they have in CloudWatch.

ConsumedReadCapacityUnits and ConsumedWriteCapacityUnits are pulled from the meter; the rest is
counted from the records of finished requests: SuccessfulRequestLatency (seconds, not CloudWatch's
milliseconds, as Prometheus has it), ThrottledRequests, UserErrors, SystemErrors,
ConditionalCheckFailedRequests and TransactionConflict.

Source: AWS, "DynamoDB metrics and dimensions".
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily

from trilith.request_record import RequestRecord

PREFIX = "trilith_dynamodb_"
ROWS_MAX = 5000  # (table, operation) pairs; further ones are counted under no table's name
_THROTTLES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException"})
_OTHERS = "(others)"
_LABELS = ("TableName", "Operation")


class _Row:
    """What is counted of one operation on one table."""

    __slots__ = ("errors", "seconds", "successes")

    def __init__(self) -> None:
        self.successes = 0
        self.seconds = 0.0
        self.errors: dict[str, int] = {}  # by metric


class TableMetrics:
    """Implements prometheus_client's collector protocol."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}

    def record(self, record: RequestRecord) -> None:
        """Count a finished request; one that names no table belongs to none."""
        if not record.bucket:
            return
        row = self._rows.get((record.bucket, record.operation))
        if row is None:
            row = self._new_row(record)
        if not record.error_code:
            row.successes += 1
            row.seconds += record.duration_ms / 1000
            return
        metric = metric_of(record.error_code, record.status)
        row.errors[metric] = row.errors.get(metric, 0) + 1

    def _new_row(self, record: RequestRecord) -> _Row:
        """Only a table that answered gets rows: names of requests that failed may be made up."""
        known = not record.error_code and len(self._rows) < ROWS_MAX
        key = (record.bucket if known else _OTHERS, record.operation)
        return self._rows.setdefault(key, _Row())

    def collect(self) -> Iterator[Metric]:
        latency = SummaryMetricFamily(
            PREFIX + "SuccessfulRequestLatency_seconds",
            "Successful requests by table and operation.",
            labels=_LABELS,
        )
        errors: dict[str, CounterMetricFamily] = {
            name: CounterMetricFamily(PREFIX + name, text, labels=_LABELS)
            for name, text in _ERRORS.items()
        }
        for labels, row in self._rows.items():
            latency.add_metric(labels, row.successes, row.seconds)
            for name, count in row.errors.items():
                errors[name].add_metric(labels, count)
        yield latency
        yield from errors.values()


_ERRORS = {
    "ThrottledRequests": "Requests that exceeded a throughput limit.",
    "UserErrors": "Requests that were answered 400 for the caller's mistake.",
    "SystemErrors": "Requests that were answered 5xx.",
    "ConditionalCheckFailedRequests": "Writes whose condition did not hold.",
    "TransactionConflict": "Requests refused for a transaction on the same item.",
}


def metric_of(error_code: str, status: int) -> str:
    """The metric that counts an error."""
    if error_code in _THROTTLES:
        return "ThrottledRequests"
    if error_code == "ConditionalCheckFailedException":
        return "ConditionalCheckFailedRequests"
    if error_code == "TransactionConflictException":
        return "TransactionConflict"
    return "SystemErrors" if status >= 500 else "UserErrors"
