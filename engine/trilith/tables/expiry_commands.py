"""Commands, queries and results of time to live; see commands.py."""

from __future__ import annotations

from trilith.tables.commands import Command, Query, Result, Terms


class ExpireItem(Command, frozen=True, tag=25):
    """Delete an item, unless its time is no longer `time_s` or that is not over yet."""

    key: bytes
    terms: Terms
    time_s: int


class DropExpiry(Command, frozen=True, tag=26):
    """Remove EXPIRY entries, by their keys, from the partition that begins at `key`."""

    key: bytes
    entries: list[bytes]


class FillExpiry(Command, frozen=True, tag=27):
    """Add the entries of items of [key, end) in one partition, of `limit` items at most."""

    key: bytes
    end: bytes
    table_id: bytes
    attribute: str
    limit: int


class ClearExpiry(Command, frozen=True, tag=28):
    """Remove all entries of a table from the partition that begins at `key`."""

    key: bytes
    table_id: bytes


class ListDue(Query, frozen=True, tag=25):
    """Entries in the partition that begins at `key` whose time is at most `time_s`."""

    key: bytes
    time_s: int
    limit: int


class Expired(Result, frozen=True, tag=25):
    """`is_deleted`: there was such an item."""

    is_deleted: bool


class ExpiryDropped(Result, frozen=True, tag=26):
    """DropExpiry or ClearExpiry is done."""


class Filled(Result, frozen=True, tag=27):
    """`next`: where to go on; empty at the end."""

    next: bytes


class DueItems(Result, frozen=True, tag=28):
    """Keys of EXPIRY entries and how long the start is that each is anchored at."""

    entries: list[tuple[bytes, int]]
