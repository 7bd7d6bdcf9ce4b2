"""What `trilith status` says in words: nothing is hidden, and estimates are shown."""

from __future__ import annotations

from typing import Any

from trilith.cli.progress_report import health_lines, progress_rows

PARTITION = {"id": 3, "in_sync": ["n1", "n2", "n3"], "replicas": {"az1": "n1"}}


def test_a_healthy_cluster_says_so() -> None:
    lines = health_lines({"partitions": [PARTITION], "repair_queue": {}})
    assert lines == [
        "Replication: every partition is in sync in all zones",
        "Quarantine: empty",
        "Repair queue: empty",
    ]


def test_a_sole_source_is_named_until_another_zone_is_in_sync() -> None:
    alone = {"id": 3, "in_sync": ["n1"], "replicas": {"az1": "n1", "az2": "n2"}}
    recovered = {**alone, "leader_zone": "az1", "recovered": True}
    lines = health_lines({"partitions": [recovered] * 2, "repair_queue": {}})
    assert lines[0].startswith("Recovered: az1 is the sole source of 2 partitions")
    assert "Recovered" not in health_lines({"partitions": [alone], "repair_queue": {}})[0]


def test_what_is_under_replicated_is_named_with_its_reason() -> None:
    missing = [
        {"partition": p, "zone": "az2", "node": "az2-x", "why": "is not reachable"} for p in (1, 2)
    ]
    lines = health_lines({"under_replicated": missing, "repair_queue": {"az2": 7}})
    assert "Under-replicated: 2 partitions in az2: az2-x is not reachable" in lines
    assert "Repair queue: chunks that a zone lacks: az2: 7" in lines


def test_in_sync_by_the_log_is_not_called_everything_while_chunks_are_missing() -> None:
    owed = {"partition": 3, "chunks": 2, "objects": ["photos/cat.png"], "more": False}
    facts = {"n1": {"owed_chunks": [owed]}, "n2": {"owed_chunks": []}, "n3": {}}
    lines = health_lines(
        {"partitions": [PARTITION], "repair_queue": {"az1": 2}, "node_facts": facts}
    )
    assert lines[0].endswith("in sync in all zones, by its log: see the repair queue")
    assert lines[-1] == (
        "Repair queue: n1 was not given 2 chunks yet of partition 3, needed by photos/cat.png"
    )


def test_a_lost_disk_that_is_filled_anew_is_not_called_everything() -> None:
    facts = {"n1": {"repair": {"rebuild": {"done": False}}}}
    lines = health_lines({"partitions": [PARTITION], "repair_queue": {}, "node_facts": facts})
    assert lines[0].endswith("by its log: a lost disk is being filled anew")


def test_nobody_who_can_say_why_is_no_reason_to_call_it_healthy() -> None:
    behind = {"id": 3, "in_sync": ["n1"], "replicas": {"az1": "n1", "az2": "n2"}}
    lines = health_lines({"partitions": [behind], "repair_queue": None})
    assert lines[0].startswith("Under-replicated: 1 partition")
    assert "cannot be read now" in lines[-1]


def test_a_damaged_chunk_is_shown_with_what_needs_it() -> None:
    entry = {
        "node": "az1-x",
        "kind": "chunk",
        "id": "ab" * 32,
        "since_ms": 0,
        "why": "no zone has a good copy",
        "objects": ["photos/cat.png"],
    }
    lines = health_lines({"partitions": [PARTITION], "quarantine": [entry] * 25})
    assert "1970-01-01 00:00:00Z: no zone has a good copy; needed by photos/cat.png" in lines[1]
    assert any("5 more" in line for line in lines)


def work(**facts: Any) -> dict[str, list[str]]:
    """The rows of one node, by the kind of work."""
    return {row[1]: row[2:] for row in progress_rows({"node_facts": {"n1": facts}})}


def test_work_under_way_is_shown_with_an_estimated_finish() -> None:
    rows = work(
        repair={"pending": 4, "done": 2, "eta_s": 12.4, "rebuild": {"done": False, "eta_s": 7200}},
        collection={
            "phase": "mark",
            "condemned_chunks": 1,
            "condemned_bytes": 2048,
            "eta_s": 600.0,
            "compaction": {"running": True, "dead_bytes": 1 << 20, "eta_s": 3.0},
        },
        scrub={"running": True, "bytes_read": 1 << 20, "bad_extents": 1, "eta_s": None},
    )
    assert rows["repair"] == ["running", "4 chunks to copy, 2 chunks copied", "12 s"]
    assert rows["rebuild"][::2] == ["running", "2.0 h"]
    assert rows["collection"][0] == "mark"
    assert rows["collection"][1].startswith("1 chunk (2.0 KiB) wait")
    assert rows["collection"][2] == "10 min"
    assert rows["compaction"] == ["running", "1.0 MiB dead, 0 bytes given back", "3 s"]
    assert rows["scrub"] == ["running", "1.0 MiB read; 0 rounds, 1 bad file found", "-"]


def test_a_disk_that_was_never_lost_has_no_line_of_its_rebuild() -> None:
    assert "rebuild" not in work(repair={"rebuild": {"done": True, "passes": 0}})
    assert "rebuild" not in work(repair={"rebuild": {"done": True, "passes": 2, "looked_at": 0}})
    assert "rebuild" in work(repair={"rebuild": {"done": True, "passes": 2, "looked_at": 7}})


def test_a_node_that_says_nothing_is_no_error() -> None:
    assert progress_rows({"node_facts": {"n1": {}}}) == []
    assert progress_rows({}) == []


def test_nodes_that_keep_partitions_from_being_merged_are_named() -> None:
    lines = health_lines({"partitions": [PARTITION], "repair_queue": {}, "unable_to_merge": ["n2"]})
    assert "Merges: none, while n2 runs a version that cannot merge partitions" in lines


def test_a_node_that_does_not_answer_is_not_passed_over() -> None:
    lines = health_lines({"partitions": [PARTITION], "not_answering": ["n2"], "answered_by": "n1"})
    assert any(line.startswith("Not shown: n2 does not answer n1 now") for line in lines)
    assert lines[0].endswith("was in sync in all zones when n2 last answered")
