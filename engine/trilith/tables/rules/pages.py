"""Pages of items: a bounded run of a key range, for Query and Scan."""

from __future__ import annotations

from msgspec.structs import replace

from trilith.replication.state_machine import View
from trilith.tables.commands import LOCKS_MAX, Page, ReadPage
from trilith.tables.key_codec import successor
from trilith.tables.layout import INDEX, ITEM, LOCK, item_key_of_entry, split_key
from trilith.tables.records import size_in
from trilith.transactions.commands import LockHead
from trilith.transactions.stage import head_of


def read_page(query: ReadPage, view: View) -> Page:
    """At least one record where there is any, however large."""
    page = _read(query, view)
    locks = _locks(view, *_items_read(query, page))
    return replace(page, locks=locks) if locks else page


def _items_read(query: ReadPage, page: Page) -> tuple[bytes, bytes]:
    """[start, end) of the items that the page says something of.

    An entry of a local index may come or go with any item of its partition key.
    """
    start, end = query.key, query.end
    if query.family == ITEM:
        if not page.is_whole and query.reverse:
            start = page.last
        elif not page.is_whole:
            end = page.last + b"\x00"
        return start, end
    if query.family < INDEX:
        return b"", b""  # global indexes follow their table at a distance
    stem = _stem(end)
    return _stem(start) or start, successor(stem) if stem else end


def _stem(key: bytes) -> bytes | None:
    """Of a key that may end before its partition key does."""
    try:
        return split_key(key)[0]
    except ValueError:
        return None


def _locks(view: View, start: bytes, end: bytes) -> list[LockHead]:
    locks: list[LockHead] = []
    if start >= end:
        return locks
    for key, raw in view.scan(LOCK, start, end):
        locks.append(head_of(key, raw))
        if len(locks) >= LOCKS_MAX:
            break
    return locks


def _read(query: ReadPage, view: View) -> Page:
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
