"""Metrics of several nodes as one page that a scraper accepts."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from trilith.console.merge_metrics import merge

ONE = """# HELP up Whether it is up.
# TYPE up gauge
up 1.0
# HELP reqs_total Requests.
# TYPE reqs_total counter
reqs_total{op="a b",code="2{0}0"} 3.0
# HELP lat_seconds Latency.
# TYPE lat_seconds histogram
lat_seconds_bucket{le="+Inf"} 4.0
lat_seconds_count 4.0
lat_seconds_sum 2.5
"""
TWO = """# HELP up Whether it is up.
# TYPE up gauge
up 0.0
# HELP other Only here.
# TYPE other gauge
other{} 5.0
"""


def test_each_family_appears_once_and_each_sample_names_its_node() -> None:
    text = merge([("n1", "az1", ONE), ("n2", "az2", TWO)])
    families = list(text_string_to_metric_families(text))
    assert [family.name for family in families] == ["up", "reqs", "lat_seconds", "other"]
    assert text.count("# TYPE up gauge") == 1
    found = {
        (sample.name, sample.labels["node"], sample.labels["zone"]): sample
        for family in families
        for sample in family.samples
    }
    assert found["up", "n1", "az1"].value == 1
    assert found["up", "n2", "az2"].value == 0
    assert found["reqs_total", "n1", "az1"].labels["code"] == "2{0}0"
    assert found["lat_seconds_sum", "n1", "az1"].value == 2.5
    assert found["other", "n2", "az2"].value == 5


def test_a_node_id_is_escaped() -> None:
    (family,) = text_string_to_metric_families(merge([('a"b\\', "z", "up 1.0\n")]))
    assert family.samples[0].labels["node"] == 'a"b\\'


def test_no_nodes_make_an_empty_page() -> None:
    assert merge([]) == ""
