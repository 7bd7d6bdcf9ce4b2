"""Counting what a range of a table holds, a bounded run at a time."""

from __future__ import annotations

from trilith.replication.state_machine import View
from trilith.tables.commands import Counted, CountRecords
from trilith.tables.records import size_in


def count_records(query: CountRecords, view: View) -> Counted:
    """Sizes are AWS's, from the readable part of the records."""
    count = size = 0
    last = b""
    for key, record in view.scan(query.family, query.key, query.end):
        if count >= query.limit:
            return Counted(count, size, last, is_whole=False)
        count += 1
        size += size_in(record)
        last = key
    return Counted(count, size, last, is_whole=True)
