"""Pages of items: a bounded run of a key range, for Query and Scan."""

from __future__ import annotations

from trilith.replication.state_machine import View
from trilith.tables.commands import Page, ReadPage
from trilith.tables.layout import ITEM, item_key_of_entry
from trilith.tables.records import size_in


def read_page(query: ReadPage, view: View) -> Page:
    """At least one record where there is any, however large."""
    records: list[tuple[bytes, bytes]] = []
    total, limit, bytes_max = 0, query.limit, query.bytes_max
    last = b""
    for key, record in view.scan(query.family, query.key, query.end, reverse=query.reverse):
        if len(records) >= limit:
            return Page(records, total, is_whole=False, last=last)
        size = size_in(record)
        found = (key, record)
        if query.fetch:
            item_key = item_key_of_entry(key)
            item = view.get(ITEM, item_key)
            assert item is not None, "an index entry without its item"
            size += size_in(item)
            found = (item_key, item)
        if records and total + size > bytes_max:
            return Page(records, total, is_whole=False, last=last)
        last = key
        total += size
        records.append(found)
    return Page(records, total, is_whole=True, last=last)
