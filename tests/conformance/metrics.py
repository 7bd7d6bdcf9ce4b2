"""The Prometheus text of /metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from .cluster import Cluster
from .processes import wait_until

_NODES = 3  # of a conformance cluster
_DEADLINE_S = 60.0


def read_metrics(cluster: Cluster) -> list[Sample]:
    """Every sample of all nodes: a node that does not answer in time is left out, so ask again."""
    samples: list[Sample] = []

    def of_all() -> bool:
        status, text = cluster.http_get("/metrics")
        families = text_string_to_metric_families(text if status == 200 else "")
        samples[:] = [sample for family in families for sample in family.samples]
        return len({sample.labels.get("node", "") for sample in samples} - {""}) >= _NODES

    wait_until(of_all, deadline_s=_DEADLINE_S, what="metrics of all nodes")
    return samples


def named(samples: list[Sample], *words: str) -> list[Sample]:
    """Samples whose name holds all of `words`."""
    return [sample for sample in samples if all(word in sample.name for word in words)]


def total(samples: list[Sample], *words: str) -> float:
    """The sum over `named`; an AssertionError when there is none."""
    found = [sample for sample in named(samples, *words) if not sample.name.endswith("_created")]
    assert found, f"no metric is named after {words}"
    return sum(sample.value for sample in found)
