"""The text of `trilith status` about what runs in the background, and what is not as it should be.

Reads the document of `/v1/status`; what a node of another version does not say is left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from trilith.config import GIB, KIB, MIB

QUARANTINED_SHOWN = 20
OBJECTS_SHOWN = 8
NOT_YET = "-"


def health_lines(found: Mapping[str, Any]) -> list[str]:
    """What is under-replicated or damaged, and why; one line that says so when nothing is."""
    lines = [*_recovered(found), *_under_replicated(found), *_quarantine(found)]
    lines += [*_not_answering(found), *_settings(found), *_older(found)]
    queue = found.get("repair_queue")
    if queue is None:
        lines.append("Repair queue: cannot be read now (a partition has no leader that answers)")
    elif queue:
        waits = ", ".join(f"{zone}: {count}" for zone, count in queue.items())
        lines.append(f"Repair queue: chunks that a zone lacks: {waits}")
    else:
        lines.append("Repair queue: empty")
    return [*lines, *_owed(found)]


def _owed(found: Mapping[str, Any]) -> Iterator[str]:
    """What nodes were never given by their own logs: with the zones that have it, it is lost."""
    for node, facts in sorted((found.get("node_facts") or {}).items()):
        for one in facts.get("owed_chunks") or ():
            if not one["chunks"]:
                continue  # a disk that is filled anew: a row of the work under way
            names = ", ".join(one["objects"][:OBJECTS_SHOWN])
            yield (
                f"Repair queue: {node} was not given {_count(one['chunks'], 'chunk')} yet of "
                f"partition {one['partition']}, needed by {names}"
            )


def _recovered(found: Mapping[str, Any]) -> Iterator[str]:
    """After `trilith recover`, until another zone is in sync again."""
    alone = Counter(p["leader_zone"] for p in found.get("partitions") or [] if p.get("recovered"))
    for zone, count in sorted(alone.items()):
        yield (
            f"Recovered: {zone} is the sole source of {_count(count, 'partition')}; they take no "
            "writes until another zone is in sync"
        )


def _under_replicated(found: Mapping[str, Any]) -> Iterator[str]:
    missing = found.get("under_replicated") or []
    if not missing:
        behind = [
            p for p in found.get("partitions") or [] if len(p["in_sync"]) < len(p["replicas"])
        ]
        if behind:
            yield f"Under-replicated: {len(behind)} partitions; no node that answers can say why"
        elif silent := found.get("not_answering"):
            # With two zones silent nobody may take them out of the sets.
            yield (
                "Replication: every partition was in sync in all zones when "
                f"{' and '.join(silent)} last answered"
            )
        else:
            yield f"Replication: every partition is in sync in all zones{_missed(found)}"
        return
    counts = Counter((m["zone"], m["node"], m["why"]) for m in missing)
    for (zone, node, why), count in sorted(counts.items()):
        yield f"Under-replicated: {_count(count, 'partition')} in {zone}: {node} {why}"


def _missed(found: Mapping[str, Any]) -> str:
    """Why not all bytes of objects are in all zones, though the logs are."""
    works = (facts.get("repair") or {} for facts in (found.get("node_facts") or {}).values())
    if not all((repair.get("rebuild") or {}).get("done", True) for repair in works):
        return ", by its log: a lost disk is being filled anew"
    return "" if found.get("repair_queue") == {} else ", by its log: see the repair queue"


def _quarantine(found: Mapping[str, Any]) -> Iterator[str]:
    damaged = found.get("quarantine") or []
    if not damaged:
        yield "Quarantine: empty"
    for entry in damaged[:QUARANTINED_SHOWN]:
        since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(entry["since_ms"] / 1000))
        names = ", ".join(entry.get("objects") or ())
        what, needed = entry["id"], f"; needed by {names}" if names else ""
        if entry["kind"] == "item" and names:
            what, needed = names, ""  # people know it by its table and key
        yield (
            f"Quarantine: {entry['kind']} {what} on {entry['node']} since {since}: "
            f"{entry['why']}{needed}"
        )
    if len(damaged) > QUARANTINED_SHOWN:
        yield f"Quarantine: {len(damaged) - QUARANTINED_SHOWN} more; see --json"


def _not_answering(found: Mapping[str, Any]) -> Iterator[str]:
    """Nodes of which nothing is known now: a picture without them may look better than it is."""
    for node in found.get("not_answering") or []:
        yield (
            f"Not shown: {node} does not answer {found.get('answered_by', 'the others')} now; "
            "its work, settings and damage are not known"
        )


def _settings(found: Mapping[str, Any]) -> Iterator[str]:
    """Nodes whose configuration is not what they go by."""
    for node, facts in sorted((found.get("node_facts") or {}).items()):
        said = facts.get("settings") or {}
        for name, value in sorted((said.get("configured") or {}).items()):
            in_force = (said.get("in_force") or {}).get(name)
            yield (
                f"Settings: {node} is configured with {name} = {value}; the cluster's {in_force} "
                "is in force"
            )


def _older(found: Mapping[str, Any]) -> Iterator[str]:
    older = found.get("unable_to_merge") or []
    if older:
        run = "runs" if len(older) == 1 else "run"
        yield f"Merges: none, while {', '.join(older)} {run} a version that cannot merge partitions"


def progress_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """NODE, WORK, STATE, PROGRESS, DONE IN: repair, rebuild, collection, compaction and scrub."""
    rows = []
    for node, facts in sorted((found.get("node_facts") or {}).items()):
        repair, collection = facts.get("repair") or {}, facts.get("collection") or {}
        works = (
            _repair(repair),
            _rebuild(repair.get("rebuild") or {}),
            _collection(collection),
            _compaction(collection.get("compaction") or {}),
            _scrub(facts.get("scrub") or {}),
        )
        rows += [[node, *work] for work in works if work]
    return rows


def _repair(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    pending = facts.get("pending", 0)
    said = f"{_count(facts.get('done', 0), 'chunk')} copied"
    if pending:
        said = f"{_count(pending, 'chunk')} to copy, {said}"
    return ["repair", "running" if pending else "idle", said, _eta(facts)]


def _rebuild(facts: Mapping[str, Any]) -> list[str]:
    """Of a disk that was lost; not worth a line where none was."""
    if not facts or (facts.get("done") and not facts.get("looked_at")):
        return []
    said = (
        f"{facts.get('looked_at', 0):,} references read, {facts.get('missing', 0):,} were missing"
    )
    return ["rebuild", "done" if facts.get("done") else "running", said, _eta(facts)]


def _collection(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    kept = _count(facts.get("condemned_chunks", 0), "chunk")
    said = (
        f"{kept} ({_bytes(facts.get('condemned_bytes', 0))}) wait for the grace period, "
        f"{_bytes(facts.get('removed_bytes', 0))} removed"
    )
    if facts.get("last_error"):
        said += f"; last error: {facts['last_error']}"
    return ["collection", str(facts.get("phase") or "idle"), said, _eta(facts)]


def _compaction(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    said = f"{_bytes(facts.get('bytes_reclaimed', 0))} given back"
    dead = facts.get("dead_bytes", 0)
    if dead:
        said = f"{_bytes(dead)} dead, {said}"
    return ["compaction", "running" if facts.get("running") else "idle", said, _eta(facts)]


def _scrub(facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    found = sum(facts.get(f"bad_{what}", 0) for what in ("extents", "log_records", "store_reads"))
    rounds = _count(facts.get("rounds", 0), "round")
    said = f"{rounds}, {_count(found, 'bad file')} found"
    if facts.get("running"):
        of_all = f" of {_bytes(facts['round_bytes'])}" if facts.get("round_bytes") else ""
        said = f"{_bytes(facts.get('bytes_read', 0))}{of_all} read; {said}"
    return ["scrub", "running" if facts.get("running") else "idle", said, _eta(facts)]


def _eta(facts: Mapping[str, Any]) -> str:
    """The estimated time until it is done, rounded to what can be known."""
    seconds = facts.get("eta_s")
    if seconds is None:
        return NOT_YET
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"


def _bytes(value: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if value >= unit:
            return f"{value / unit:.1f} {name}"
    return f"{value} bytes"


def _count(value: int, one: str, many: str = "") -> str:
    return f"{value:,} {one if value == 1 else many or one + 's'}"
