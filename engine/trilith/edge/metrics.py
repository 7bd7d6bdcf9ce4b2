"""Metrics of one node, in Prometheus' text format.

The event loop is the only writer of request counts, so they are plain integers without locks;
they become metric families when somebody looks. Everything else is pulled through `add_collector`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from trilith.edge.table_metrics import TableMetrics
from trilith.request_record import RequestRecord

LATENCY_BOUNDS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip

# label values -> value; a plain number has no labels.
Samples = float | Mapping[tuple[str, ...], float]


class _OperationCounts:
    """What is counted of one operation."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.buckets = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.seconds = 0.0
        self.bytes_in = 0
        self.bytes_out = 0


class RequestMetrics:
    """Requests by operation and code, latencies and bytes by operation."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._operations: dict[str, _OperationCounts] = {}
        self.in_flight: Callable[[], int] = lambda: 0

    def record(self, record: RequestRecord) -> None:
        """Counted under the protocol's error code, or the HTTP status of a success."""
        counts = self._operations.get(record.operation)
        if counts is None:
            counts = self._operations[record.operation] = _OperationCounts()
        code = record.error_code or str(record.status)
        seconds = record.duration_ms / 1000
        counts.codes[code] = counts.codes.get(code, 0) + 1
        counts.buckets[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        counts.seconds += seconds
        counts.bytes_in += record.bytes_in
        counts.bytes_out += record.bytes_out

    def collect(self) -> Iterator[Metric]:
        """prometheus_client's collector protocol."""
        prefix = f"trilith_{self._protocol}"
        requests = CounterMetricFamily(
            f"{prefix}_requests", "Requests by operation and code.", labels=("operation", "code")
        )
        seconds = HistogramMetricFamily(
            f"{prefix}_request_duration_seconds",
            "From the request's headers to the end of its answer.",
            labels=("operation",),
        )
        received = CounterMetricFamily(
            f"{prefix}_received_bytes", "Body bytes of requests.", labels=("operation",)
        )
        sent = CounterMetricFamily(
            f"{prefix}_sent_bytes", "Body bytes of answers.", labels=("operation",)
        )
        for operation, counts in self._operations.items():
            for code, count in counts.codes.items():
                requests.add_metric((operation, code), count)
            seconds.add_metric((operation,), _cumulative(counts.buckets), counts.seconds)
            received.add_metric((operation,), counts.bytes_in)
            sent.add_metric((operation,), counts.bytes_out)
        yield from (requests, seconds, received, sent)
        yield GaugeMetricFamily(
            f"{prefix}_requests_in_flight", "Requests in work.", value=self.in_flight()
        )


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total = 0
    rows: list[tuple[str, float]] = []
    for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), buckets, strict=True):
        total += count
        rows.append((str(bound), total))
    return rows


class Histogram:
    """A histogram fed from the event loop: journal syncs, replication round trips."""

    def __init__(self, name: str, help_text: str, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._help = help_text
        self._bounds = bounds
        self._buckets = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._buckets[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        total = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*self._bounds, "+Inf"), self._buckets, strict=True):
            total += count
            rows.append((str(bound), total))
        yield HistogramMetricFamily(self._name, self._help, rows, self._sum)


class _Pulled:
    """A family whose samples a function yields at collection time."""

    def __init__(
        self,
        name: str,
        help_text: str,
        kind: str,
        read: Callable[[], Samples],
        labels: tuple[str, ...],
    ) -> None:
        self._family = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}[kind]
        self._name = name
        self._help = help_text
        self._read = read
        self._labels = labels

    def collect(self) -> Iterable[Metric]:
        samples = self._read()
        family = self._family(self._name, self._help, labels=self._labels)
        if isinstance(samples, Mapping):
            for values, value in samples.items():
                family.add_metric(values, value)
        else:
            family.add_metric((), samples)
        yield family


class Metrics:
    """The registry of one node."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)

    def requests(self, protocol: str) -> RequestMetrics:
        """The request metrics of a protocol (`s3`); call once for each."""
        metrics = RequestMetrics(protocol)
        self._registry.register(metrics)
        return metrics

    def table_metrics(self) -> TableMetrics:
        """The metrics of single tables; call once."""
        metrics = TableMetrics()
        self._registry.register(metrics)
        return metrics

    def histogram(self, name: str, help_text: str, bounds: tuple[float, ...]) -> Histogram:
        histogram = Histogram(name, help_text, bounds)
        self._registry.register(histogram)
        return histogram

    def add_collector(
        self,
        name: str,
        help_text: str,
        kind: str,
        read: Callable[[], Samples],
        labels: tuple[str, ...] = (),
    ) -> None:
        """A `gauge` or `counter` (named without `_total`), read whenever metrics are asked for.

        `read` returns a number, or with `labels` a mapping of label values to numbers; it runs
        on the event loop and must not block.
        """
        self._registry.register(_Pulled(name, help_text, kind, read, labels))

    def render(self) -> str:
        """Prometheus text format 0.0.4."""
        return generate_latest(self._registry).decode()
