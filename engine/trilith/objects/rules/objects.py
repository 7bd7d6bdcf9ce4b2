"""Objects: put, delete, get. One record per key (the null version)."""

from __future__ import annotations

from msgspec.structs import replace

from trilith.errors import ObjectNotFound, PreconditionFailed
from trilith.objects.commands import (
    Deleted,
    DeleteObject,
    Done,
    FoundObject,
    GetObject,
    PutObject,
    PutTags,
    Stored,
)
from trilith.objects.keys import (
    BUCKET_ID_SIZE,
    INLINE,
    LOCK,
    NULL_VERSION,
    OBJECT,
    SEGMENT,
    owned_key,
)
from trilith.objects.records import OBJECT_RECORD, Kind, ObjectRecord, ReleasedKind
from trilith.objects.rules.fence import require_open
from trilith.objects.rules.manifests import consume_pending, release, write_segment
from trilith.objects.types import WriteConditions
from trilith.replication.state_machine import Context, Effects, View
from trilith.transactions.stage import head_of


def check_conditions(conditions: WriteConditions | None, raw: bytes | None) -> None:
    """Raises PreconditionFailed, or ObjectNotFound for if_match on what is absent."""
    if conditions is None:
        return
    if conditions.if_none_match_any and raw is not None:
        raise PreconditionFailed("the object exists", condition="If-None-Match")
    if conditions.if_match is not None:
        if raw is None:
            raise ObjectNotFound
        if conditions.if_match not in ("*", OBJECT_RECORD.decode_listed(raw).etag):
            raise PreconditionFailed("the object's ETag differs", condition="If-Match")


def remove_content(
    effects: Effects, stem: bytes, raw: bytes | None, new_kind: Kind | None, now_ms: int
) -> None:
    """Let go of the content behind a record that is about to be replaced or deleted."""
    if raw is None:
        return
    kind = OBJECT_RECORD.kind(raw)
    if kind == Kind.INLINE:
        if new_kind != Kind.INLINE:
            effects.delete(INLINE, stem + NULL_VERSION)
        return
    released = ReleasedKind.MANIFEST if kind == Kind.CHUNKED else ReleasedKind.PART_LIST
    release(effects, stem, OBJECT_RECORD.decode(raw).version_id, released, now_ms)


def put_object(command: PutObject, view: View, effects: Effects, context: Context) -> Stored:
    raw = view.get(OBJECT, command.stem + NULL_VERSION)
    if raw is None:
        require_open(view, command.stem[:BUCKET_ID_SIZE])
    check_conditions(command.conditions, raw)
    return store_object(command, raw, view, effects, context)


def store_object(
    command: PutObject, raw: bytes | None, view: View, effects: Effects, context: Context
) -> Stored:
    """The effects of a put that may be. `raw`: the record that it replaces."""
    stem, now_ms = command.stem, context.now_ms
    version_id = command.version_id or context.token
    key = stem + NULL_VERSION
    consume_pending(view, effects, stem, version_id, command.pieces_ahead)
    kind = Kind.INLINE if command.body is not None else Kind.CHUNKED
    remove_content(effects, stem, raw, kind, now_ms)
    metadata = command.metadata
    record = ObjectRecord(
        command.size,
        command.etag,
        now_ms,
        metadata.storage_class,
        command.checksum,
        version_id,
        metadata,
        command.wrapped_key,
    )
    effects.put(OBJECT, key, OBJECT_RECORD.encode(kind, record))
    if command.body is not None:
        effects.put(INLINE, key, command.body)
    if command.segment is not None:
        write_segment(
            effects,
            stem,
            version_id,
            command.segment,
            command.missed,
            command.expires_ms,
            now_ms,
        )
    return Stored(version_id, now_ms)


def delete_object(command: DeleteObject, view: View, effects: Effects, context: Context) -> Deleted:
    key = command.stem + NULL_VERSION
    raw = view.get(OBJECT, key)
    check_conditions(command.conditions, raw)
    if raw is None:
        return Deleted(existed=False)
    remove_content(effects, command.stem, raw, None, context.now_ms)
    effects.delete(OBJECT, key)
    return Deleted(existed=True)


def put_tags(command: PutTags, view: View, effects: Effects, _context: Context) -> Done:
    key = command.stem + NULL_VERSION
    raw = view.get(OBJECT, key)
    if raw is None:
        raise ObjectNotFound
    record = OBJECT_RECORD.decode(raw)
    metadata = replace(record.metadata, tags=command.tags)
    kind = Kind(OBJECT_RECORD.kind(raw))
    effects.put(OBJECT, key, OBJECT_RECORD.encode(kind, replace(record, metadata=metadata)))
    return Done()


def get_object(query: GetObject, view: View) -> FoundObject:
    stem = query.stem
    key = stem + NULL_VERSION
    raw = view.get(OBJECT, key)
    locked = view.get(LOCK, stem)
    lock = None if locked is None else head_of(stem, locked)
    if raw is None:
        if lock is None:
            raise ObjectNotFound
        return FoundObject(b"", None, lock)
    if not query.with_body:
        return FoundObject(raw, None, lock)
    kind = OBJECT_RECORD.kind(raw)
    if kind == Kind.INLINE:
        return FoundObject(raw, view.get(INLINE, key), lock)
    if kind == Kind.CHUNKED:
        owner = OBJECT_RECORD.decode(raw).version_id
        return FoundObject(raw, view.get(SEGMENT, owned_key(stem, owner, 0)), lock)
    return FoundObject(raw, None, lock)
