"""Buckets by name, in the system keyspace. `generation` fences deletions (fence.py)."""

from __future__ import annotations

from msgspec.structs import replace

from trilith.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwned,
    BucketNotFound,
    ConditionalConflict,
)
from trilith.objects.commands import (
    BucketsPage,
    CreateBucket,
    DeleteBucket,
    Done,
    FoundBucket,
    FoundSettings,
    GetBucket,
    GetBucketSettings,
    ListBuckets,
    PutBucketTags,
    PutCors,
    PutPublicAccessBlock,
    UpdateGeneration,
)
from trilith.objects.keys import BUCKET, SETTINGS, successor
from trilith.objects.records import BUCKET_RECORD, SETTINGS_RECORD, BucketRecord
from trilith.objects.types import BucketInfo, BucketSettings
from trilith.replication.state_machine import Context, Effects, View

_SCANNED_MAX = 4096  # bucket records one ListBuckets query looks at


def bucket_info(name: str, record: BucketRecord) -> BucketInfo:
    return BucketInfo(
        name,
        record.bucket_id,
        record.owner,
        record.created_ms,
        record.region,
        record.generation,
        record.tags,
    )


def create_bucket(
    command: CreateBucket, view: View, effects: Effects, context: Context
) -> FoundBucket:
    key = command.name.encode()
    raw = view.get(BUCKET, key)
    if raw is not None:
        if BUCKET_RECORD.decode(raw).owner == command.owner:
            raise BucketAlreadyOwned
        raise BucketAlreadyExists
    record = BucketRecord(
        command.bucket_id, command.owner, context.now_ms, command.region, tags=command.tags
    )
    effects.put(BUCKET, key, BUCKET_RECORD.encode(record))
    return FoundBucket(bucket_info(command.name, record))


def _current(view: View, name: str, bucket_id: bytes, generation: int) -> BucketRecord:
    raw = view.get(BUCKET, name.encode())
    record = BUCKET_RECORD.decode(raw) if raw is not None else None
    if record is None or record.bucket_id != bucket_id:
        raise BucketNotFound
    if record.generation != generation:
        raise ConditionalConflict("the bucket was used while it was being deleted")
    return record


def delete_bucket(command: DeleteBucket, view: View, effects: Effects, _context: Context) -> Done:
    _current(view, command.name, command.bucket_id, command.generation)
    effects.delete(BUCKET, command.name.encode())
    effects.delete(SETTINGS, command.name.encode())
    return Done()


def update_generation(
    command: UpdateGeneration, view: View, effects: Effects, _context: Context
) -> FoundBucket:
    record = _current(view, command.name, command.bucket_id, command.generation)
    raised = replace(record, generation=record.generation + 1)
    effects.put(BUCKET, command.name.encode(), BUCKET_RECORD.encode(raised))
    return FoundBucket(bucket_info(command.name, raised))


def put_bucket_tags(
    command: PutBucketTags, view: View, effects: Effects, _context: Context
) -> Done:
    key = command.name.encode()
    raw = view.get(BUCKET, key)
    if raw is None:
        raise BucketNotFound
    record = replace(BUCKET_RECORD.decode(raw), tags=command.tags)
    effects.put(BUCKET, key, BUCKET_RECORD.encode(record))
    return Done()


def _settings(view: View, name: str) -> BucketSettings:
    key = name.encode()
    if view.get(BUCKET, key) is None:
        raise BucketNotFound
    raw = view.get(SETTINGS, key)
    return SETTINGS_RECORD.decode(raw) if raw is not None else BucketSettings()


def put_cors(command: PutCors, view: View, effects: Effects, _context: Context) -> Done:
    changed = replace(_settings(view, command.name), cors=command.rules)
    effects.put(SETTINGS, command.name.encode(), SETTINGS_RECORD.encode(changed))
    return Done()


def put_public_access_block(
    command: PutPublicAccessBlock, view: View, effects: Effects, _context: Context
) -> Done:
    changed = replace(_settings(view, command.name), public_access_block=command.block)
    effects.put(SETTINGS, command.name.encode(), SETTINGS_RECORD.encode(changed))
    return Done()


def get_bucket_settings(query: GetBucketSettings, view: View) -> FoundSettings:
    return FoundSettings(_settings(view, query.name))


def get_bucket(query: GetBucket, view: View) -> FoundBucket:
    raw = view.get(BUCKET, query.name.encode())
    if raw is None:
        raise BucketNotFound
    return FoundBucket(bucket_info(query.name, BUCKET_RECORD.decode(raw)))


def list_buckets(query: ListBuckets, view: View) -> BucketsPage:
    prefix = query.prefix.encode()
    start = max(prefix, query.after.encode() + b"\x00" if query.after else b"")
    end = successor(prefix) if prefix else b"\xff"
    buckets: list[BucketInfo] = []
    last = query.after
    for looked_at, (key, raw) in enumerate(view.scan(BUCKET, start, end)):
        if looked_at == _SCANNED_MAX:
            return BucketsPage(buckets, last)
        record = BUCKET_RECORD.decode(raw)
        if record.owner == query.owner:
            if len(buckets) == query.limit:
                return BucketsPage(buckets, last)
            buckets.append(bucket_info(key.decode(), record))
        last = key.decode()
    return BucketsPage(buckets, None)
