"""Multipart uploads: create, parts, completion, abort.

The gateway checks the listed parts against pages of PART records, stages all but the last page of
the part list under the new version id, and commits. UploadRecord.revision counts changes of parts:
a completion that a PutPart overtook is refused with ConditionalConflict and starts anew.
"""

from __future__ import annotations

from itertools import islice

from trilith.errors import ConditionalConflict, UploadNotFound
from trilith.objects.commands import (
    AbortUpload,
    CompleteUpload,
    CreateUpload,
    Done,
    FoundUpload,
    GetPartList,
    GetUpload,
    ListParts,
    PartsPage,
    PutPart,
    Records,
    StageParts,
    Stored,
)
from trilith.objects.keys import (
    BUCKET_ID_SIZE,
    NULL_VERSION,
    OBJECT,
    PART,
    PARTS,
    UPLOAD,
    owned_key,
    part_key,
)
from trilith.objects.records import (
    OBJECT_RECORD,
    PART_LIST_PAGE,
    PART_RECORD,
    UPLOAD_RECORD,
    Kind,
    ObjectRecord,
    PartListPage,
    PartRecord,
    ReleasedKind,
    UploadRecord,
)
from trilith.objects.rules.fence import require_open
from trilith.objects.rules.manifests import (
    consume_pending,
    extend_pending,
    read_owned,
    release,
    write_segment,
)
from trilith.objects.rules.objects import check_conditions, remove_content
from trilith.replication.state_machine import Context, Effects, View


def _upload_bytes(view: View, stem: bytes, upload_id: bytes) -> bytes:
    raw = view.get(UPLOAD, stem + upload_id)
    if raw is None:
        raise UploadNotFound
    return raw


def create_upload(command: CreateUpload, view: View, effects: Effects, context: Context) -> Stored:
    require_open(view, command.stem[:BUCKET_ID_SIZE])
    record = UploadRecord(
        context.now_ms,
        command.metadata,
        command.checksum_algorithm,
        command.checksum_kind,
        command.wrapped_key,
    )
    effects.put(UPLOAD, command.stem + context.token, UPLOAD_RECORD.encode(record))
    return Stored(context.token, context.now_ms)


def put_part(command: PutPart, view: View, effects: Effects, context: Context) -> Stored:
    stem, upload_id, owner = command.stem, command.upload_id, context.token
    upload = UPLOAD_RECORD.decode(_upload_bytes(view, stem, upload_id))
    consume_pending(view, effects, stem, owner, command.pieces_ahead)
    key = part_key(stem, upload_id, command.number)
    replaced = view.get(PART, key)
    if replaced is not None:
        old_owner = PART_RECORD.decode(replaced).owner
        release(effects, stem, old_owner, ReleasedKind.MANIFEST, context.now_ms)
    part = PartRecord(
        command.size,
        command.etag,
        context.now_ms,
        owner,
        command.checksum,
        command.whole_checksum,
    )
    effects.put(PART, key, PART_RECORD.encode(part))
    if command.segment is not None:
        write_segment(
            effects,
            stem,
            owner,
            command.segment,
            command.missed,
            command.expires_ms,
            context.now_ms,
        )
    changed = UploadRecord(
        upload.initiated_ms,
        upload.metadata,
        upload.checksum_algorithm,
        upload.checksum_kind,
        upload.wrapped_key,
        upload.revision + 1,
    )
    effects.put(UPLOAD, stem + upload_id, UPLOAD_RECORD.encode(changed))
    return Stored(owner, context.now_ms)


def stage_parts(command: StageParts, view: View, effects: Effects, context: Context) -> Done:
    stem, owner = command.stem, command.owner
    extend_pending(view, effects, stem, owner, command.pieces_ahead, context.now_ms)
    page = PART_LIST_PAGE.encode(PartListPage(command.parts))
    effects.put(PARTS, owned_key(stem, owner, command.offset), page)
    return Done()


def complete_upload(
    command: CompleteUpload, view: View, effects: Effects, context: Context
) -> Stored:
    stem, version_id, now_ms = command.stem, context.token, context.now_ms
    upload = UPLOAD_RECORD.decode(_upload_bytes(view, stem, command.upload_id))
    if upload.revision != command.revision:
        raise ConditionalConflict("a part was uploaded while the upload was being completed")
    key = stem + NULL_VERSION
    raw = view.get(OBJECT, key)
    check_conditions(command.conditions, raw)
    consume_pending(view, effects, stem, version_id, command.pieces_ahead)
    remove_content(effects, stem, raw, Kind.MULTIPART, now_ms)
    page = PART_LIST_PAGE.encode(PartListPage(command.parts))
    effects.put(PARTS, owned_key(stem, version_id, command.offset), page)
    record = ObjectRecord(
        command.size,
        command.etag,
        now_ms,
        upload.metadata.storage_class,
        command.checksum,
        version_id,
        upload.metadata,
        upload.wrapped_key,
        command.part_count,
        command.upload_id,
    )
    effects.put(OBJECT, key, OBJECT_RECORD.encode(Kind.MULTIPART, record))
    effects.delete(UPLOAD, stem + command.upload_id)
    first = stem + command.upload_id
    effects.delete_range(PART, first, first + b"\xff" * 3)
    for owner in command.dropped:
        release(effects, stem, owner, ReleasedKind.MANIFEST, now_ms)
    return Stored(version_id, now_ms)


def abort_upload(command: AbortUpload, view: View, effects: Effects, context: Context) -> Done:
    _upload_bytes(view, command.stem, command.upload_id)
    effects.delete(UPLOAD, command.stem + command.upload_id)
    release(effects, command.stem, command.upload_id, ReleasedKind.UPLOAD, context.now_ms)
    return Done()


def get_upload(query: GetUpload, view: View) -> FoundUpload:
    return FoundUpload(_upload_bytes(view, query.stem, query.upload_id))


def list_parts(query: ListParts, view: View) -> PartsPage:
    upload = _upload_bytes(view, query.stem, query.upload_id)
    start = part_key(query.stem, query.upload_id, query.after + 1)
    end = query.stem + query.upload_id + b"\xff" * 3
    found = list(islice(view.scan(PART, start, end), query.limit + 1))
    records = [(int.from_bytes(key[-2:], "big"), raw) for key, raw in found[: query.limit]]
    return PartsPage(upload, records, len(found) > query.limit)


def get_part_list(query: GetPartList, view: View) -> Records:
    return read_owned(view, PARTS, query.stem, query.owner, query.offset, query.limit)
