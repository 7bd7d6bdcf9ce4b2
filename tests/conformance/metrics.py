"""The Prometheus text of /metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from .cluster import Cluster


def read_metrics(cluster: Cluster) -> list[Sample]:
    """Every sample of all nodes."""
    status, text = cluster.http_get("/metrics")
    assert status == 200, text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def named(samples: list[Sample], *words: str) -> list[Sample]:
    """Samples whose name holds all of `words`."""
    return [sample for sample in samples if all(word in sample.name for word in words)]


def total(samples: list[Sample], *words: str) -> float:
    """The sum over `named`; an AssertionError when there is none."""
    found = [sample for sample in named(samples, *words) if not sample.name.endswith("_created")]
    assert found, f"no metric is named after {words}"
    return sum(sample.value for sample in found)
