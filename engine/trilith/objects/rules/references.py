"""What the garbage collector asks: every chunk reference of a partition, after a barrier.

A reference is a chunk id in a SEGMENT record, whoever it belongs to: a current object, a part, a
manifest written ahead, or one that is released and not yet collected.
"""

from __future__ import annotations

from trilith.objects.commands import (
    Done,
    FindUsers,
    ListReferences,
    References,
    Settle,
    Users,
)
from trilith.objects.keys import SEGMENT
from trilith.objects.records import SEGMENT_RECORD
from trilith.replication.state_machine import Context, Effects, View

_IDS_BYTES_MAX = 128 * 1024  # one more segment may come on top
_ID_BYTES = 32
_USERS_MAX = 256  # one more segment's may come on top


def settle(_command: Settle, _view: View, _effects: Effects, _context: Context) -> Done:
    """No effects: the leader answers once all that it logged before is committed."""
    return Done()


def list_references(query: ListReferences, view: View) -> References:
    parts: list[bytes] = []
    size = 0
    for number, (key, value) in enumerate(view.scan(SEGMENT, query.start, query.end)):
        if number == query.limit or size >= _IDS_BYTES_MAX:
            return References(b"".join(parts), key)
        chunk_ids = SEGMENT_RECORD.decode(value).chunk_ids
        parts.append(chunk_ids)
        size += len(chunk_ids)
    return References(b"".join(parts), b"")


def find_users(query: FindUsers, view: View) -> Users:
    ids = query.chunk_ids
    wanted = {ids[at : at + _ID_BYTES] for at in range(0, len(ids), _ID_BYTES)}
    users: list[tuple[bytes, bytes]] = []
    for number, (key, value) in enumerate(view.scan(SEGMENT, query.start, query.end)):
        if number == query.limit or len(users) >= _USERS_MAX:
            return Users(users, key)
        named = SEGMENT_RECORD.decode(value).chunk_ids
        here = {named[at : at + _ID_BYTES] for at in range(0, len(named), _ID_BYTES)}
        users += [(chunk_id, key) for chunk_id in sorted(here & wanted)]
    return Users(users, b"")
