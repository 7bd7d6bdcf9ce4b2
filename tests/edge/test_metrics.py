"""Metrics in Prometheus' format, read back by Prometheus' own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trilith.edge.metrics import Metrics
from trilith.request_record import RequestRecord


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def record(operation: str, status: int, duration_ms: float, code: str = "") -> RequestRecord:
    return RequestRecord(
        0, "id", operation, status, duration_ms, error_code=code, bytes_in=3, bytes_out=5
    )


def test_requests_are_counted_by_operation_and_code() -> None:
    metrics = Metrics()
    requests = metrics.requests("s3")
    requests.in_flight = lambda: 7
    for one in (
        record("GetObject", 200, 0.4),
        record("GetObject", 200, 3),
        record("GetObject", 404, 99_999, "NoSuchKey"),
        record("PutObject", 200, 0.5),
    ):
        requests.record(one)
    found = samples(metrics.render())
    get = ("operation", "GetObject")
    assert found["trilith_s3_requests_total", (("code", "200"), get)] == 2
    assert found["trilith_s3_requests_total", (("code", "NoSuchKey"), get)] == 1
    histogram = "trilith_s3_request_duration_seconds"
    assert found[f"{histogram}_bucket", (("le", "0.0005"), get)] == 1
    assert found[f"{histogram}_bucket", (("le", "0.005"), get)] == 2
    assert found[f"{histogram}_bucket", (("le", "30.0"), get)] == 2
    assert found[f"{histogram}_bucket", (("le", "+Inf"), get)] == 3
    assert found[f"{histogram}_count", (get,)] == 3
    assert found[f"{histogram}_sum", (get,)] == pytest.approx(100.0024)
    assert found["trilith_s3_received_bytes_total", (get,)] == 9
    assert found["trilith_s3_sent_bytes_total", (get,)] == 15
    assert found["trilith_s3_requests_in_flight", ()] == 7


def test_a_bound_belongs_to_its_bucket() -> None:
    metrics = Metrics()
    metrics.requests("s3").record(record("PutObject", 200, 0.5))
    found = samples(metrics.render())
    labels = (("le", "0.0005"), ("operation", "PutObject"))
    assert found["trilith_s3_request_duration_seconds_bucket", labels] == 1


def test_collectors_are_read_when_metrics_are_asked_for() -> None:
    metrics = Metrics()
    lag = {("az1",): 1.0}
    metrics.add_collector("trilith_lag", "Lag.", "gauge", lambda: lag, labels=("zone",))
    metrics.add_collector("trilith_bytes", "Bytes.", "counter", lambda: 12)
    lag["az2",] = 4.0
    found = samples(metrics.render())
    assert found["trilith_lag", (("zone", "az1"),)] == 1
    assert found["trilith_lag", (("zone", "az2"),)] == 4
    assert found["trilith_bytes_total", ()] == 12


def test_a_histogram_may_be_fed_directly() -> None:
    metrics = Metrics()
    syncs = metrics.histogram("trilith_sync_seconds", "Syncs.", (0.1, 1.0))
    for seconds in (0.05, 0.5, 5):
        syncs.observe(seconds)
    found = samples(metrics.render())
    assert found["trilith_sync_seconds_bucket", (("le", "0.1"),)] == 1
    assert found["trilith_sync_seconds_bucket", (("le", "1.0"),)] == 2
    assert found["trilith_sync_seconds_count", ()] == 3
