"""Manifests ahead of their commit, and after their object is gone.

A manifest of more than one segment is written ahead: each PutSegment (and StageParts) also keeps a
PENDING record with the count of pieces, so that a gateway's death leaves a trace: what is not
committed is found by age (ListPending) and abandoned. A commit names how many pieces it builds on
and is refused when they are not there any more.

What an overwrite, deletion or abort leaves without a referrer is *released* in the same command by
one RELEASED record, whatever its size. Readers that pinned the old version go on reading its
segments; the collector (chunk garbage collection) later drops them in bounded steps with
CollectReleased, which reports each chunk id once per reference. So references are countable
exactly once from the log: +1 per id in a SEGMENT put, -1 per id in a SEGMENT deletion, and segments
are never range-deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from trilith.errors import ConditionalConflict
from trilith.objects.commands import (
    RECORDS_PER_COLLECT_MAX,
    AbandonManifest,
    Collected,
    CollectReleased,
    Done,
    GetSegments,
    Keys,
    ListPending,
    ListReleased,
    Missed,
    PutSegment,
    Records,
)
from trilith.objects.keys import (
    KEYSPACE_END,
    OWNER_SIZE,
    PART,
    PARTS,
    PENDING,
    RELEASED,
    REPAIR,
    SEGMENT,
    owned_key,
    owned_range,
    repair_key,
)
from trilith.objects.records import (
    PART_LIST_PAGE,
    PART_RECORD,
    PENDING_RECORD,
    RELEASED_RECORD,
    REPAIR_RECORD,
    SEGMENT_RECORD,
    PendingRecord,
    ReleasedKind,
    ReleasedRecord,
    RepairRecord,
    Segment,
)
from trilith.replication.state_machine import Context, Effects, View

_Wanted = Callable[[bytes, bytes], bool]
_SCANNED_MAX = 4096  # records one query of a work list looks at before it answers


def write_segment(
    effects: Effects,
    stem: bytes,
    owner: bytes,
    segment: Segment,
    missed: list[Missed],
    expires_ms: int,
    now_ms: int,
) -> None:
    """A segment, and the repair entries of its chunks that a zone lacks.

    Raises ConditionalConflict when its chunks were touched so long ago that the garbage collector
    may take them: the only way to a new reference leads through here.
    """
    if now_ms > expires_ms:
        raise ConditionalConflict("the chunks were stored too long ago to be committed now")
    effects.put(SEGMENT, owned_key(stem, owner, segment.offset), SEGMENT_RECORD.encode(segment))
    if missed:
        entry = REPAIR_RECORD.encode(RepairRecord(now_ms))
        for zone, chunk_id in missed:
            effects.put(REPAIR, repair_key(stem, zone, chunk_id), entry)


def extend_pending(
    view: View, effects: Effects, stem: bytes, owner: bytes, pieces_ahead: int, now_ms: int
) -> None:
    """One more piece written ahead. Raises ConditionalConflict if the earlier ones are gone."""
    created_ms = now_ms
    if pieces_ahead:
        created_ms = _require_pending(view, stem, owner, pieces_ahead).created_ms
    record = PendingRecord(created_ms, pieces_ahead + 1)
    effects.put(PENDING, stem + owner, PENDING_RECORD.encode(record))


def consume_pending(
    view: View, effects: Effects, stem: bytes, owner: bytes, pieces_ahead: int
) -> None:
    """The commit of what was written ahead."""
    if pieces_ahead:
        _require_pending(view, stem, owner, pieces_ahead)
        effects.delete(PENDING, stem + owner)


def _require_pending(view: View, stem: bytes, owner: bytes, pieces: int) -> PendingRecord:
    raw = view.get(PENDING, stem + owner)
    record = PENDING_RECORD.decode(raw) if raw is not None else None
    if record is None or record.pieces != pieces:
        raise ConditionalConflict("the parts of the manifest written ahead were abandoned")
    return record


def release(effects: Effects, stem: bytes, owner: bytes, kind: ReleasedKind, now_ms: int) -> None:
    effects.put(RELEASED, stem + owner, RELEASED_RECORD.encode(ReleasedRecord(kind, now_ms)))


def put_segment(command: PutSegment, view: View, effects: Effects, context: Context) -> Done:
    stem, owner = command.stem, command.owner
    extend_pending(view, effects, stem, owner, command.pieces_ahead, context.now_ms)
    write_segment(
        effects,
        stem,
        owner,
        command.segment,
        command.missed,
        command.expires_ms,
        context.now_ms,
    )
    return Done()


def abandon_manifest(
    command: AbandonManifest, view: View, effects: Effects, context: Context
) -> Done:
    """Segments become released; a staged part list names parts of a living upload: it just goes."""
    stem, owner = command.stem, command.owner
    if view.get(PENDING, stem + owner) is not None:
        effects.delete(PENDING, stem + owner)
        effects.delete_range(PARTS, *owned_range(stem, owner))
        release(effects, stem, owner, ReleasedKind.MANIFEST, context.now_ms)
    return Done()


def collect_released(
    command: CollectReleased, view: View, effects: Effects, _context: Context
) -> Collected:
    """One bounded step of dropping a released manifest, part list or upload."""
    raw = view.get(RELEASED, command.key)
    if raw is None:
        return Collected(b"", more=False)
    released = RELEASED_RECORD.decode(raw)
    kind, released_ms = released.kind, released.released_ms
    stem, owner = command.key[:-OWNER_SIZE], command.key[-OWNER_SIZE:]
    chunk_ids = b""
    if kind == ReleasedKind.MANIFEST:
        found = _first_records(view, SEGMENT, stem, owner, RECORDS_PER_COLLECT_MAX)
        for key, value in found:
            chunk_ids += SEGMENT_RECORD.decode(value).chunk_ids
            effects.delete(SEGMENT, key)
        more = len(found) == RECORDS_PER_COLLECT_MAX
    elif kind == ReleasedKind.PART_LIST:
        found = _first_records(view, PARTS, stem, owner, 1)
        for key, value in found:
            for part in PART_LIST_PAGE.decode(value).parts:
                release(effects, stem, part.owner, ReleasedKind.MANIFEST, released_ms)
            effects.delete(PARTS, key)
        more = bool(found)
    else:
        found = _first_records(view, PART, stem, owner, RECORDS_PER_COLLECT_MAX)
        for key, value in found:
            part_owner = PART_RECORD.decode(value).owner
            release(effects, stem, part_owner, ReleasedKind.MANIFEST, released_ms)
            effects.delete(PART, key)
        more = len(found) == RECORDS_PER_COLLECT_MAX
    if not more:
        effects.delete(RELEASED, command.key)
    return Collected(chunk_ids, more)


def _first_records(
    view: View, family: int, stem: bytes, owner: bytes, limit: int
) -> list[tuple[bytes, bytes]]:
    start = stem + owner
    return list(islice(view.scan(family, start, start + b"\xff" * 9), limit))


def read_owned(
    view: View, family: int, stem: bytes, owner: bytes, offset: int, limit: int
) -> Records:
    """Up to `limit` records: the last that starts at or before `offset`, and later ones."""
    start, end = owned_range(stem, owner)
    last_start = owned_key(stem, owner, offset + 1)
    first = next(iter(view.scan(family, start, last_start, reverse=True)), None)
    if first is None:
        return Records([])
    found = islice(view.scan(family, first[0], end), limit)
    return Records([(int.from_bytes(key[-8:], "big"), value) for key, value in found])


def get_segments(query: GetSegments, view: View) -> Records:
    return read_owned(view, SEGMENT, query.stem, query.owner, query.offset, query.limit)


def list_pending(query: ListPending, view: View) -> Keys:
    def is_old(_key: bytes, value: bytes) -> bool:
        return PENDING_RECORD.decode(value).created_ms < query.created_before_ms

    return work_list(view, PENDING, query.start, query.limit, is_old)


def list_released(query: ListReleased, view: View) -> Keys:
    def is_old(_key: bytes, value: bytes) -> bool:
        return RELEASED_RECORD.decode(value).released_ms < query.released_before_ms

    return work_list(view, RELEASED, query.start, query.limit, is_old)


def work_list(view: View, family: int, start: bytes, limit: int, wanted: _Wanted) -> Keys:
    """Keys of a family that are wanted, after looking at a bounded number of records."""
    keys: list[bytes] = []
    for looked_at, (key, value) in enumerate(view.scan(family, start, KEYSPACE_END)):
        if looked_at == _SCANNED_MAX or len(keys) == limit:
            return Keys(keys, key)
        if wanted(key, value):
            keys.append(key)
    return Keys(keys, b"")
