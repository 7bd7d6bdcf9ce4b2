"""Commands, queries and results of the object model, as they travel between nodes.

A command with a `segment` carries the time (wall clock) at which its chunks' touches expire:
`expires_ms`. It is refused with ConditionalConflict when it is evaluated later.

Every struct of keyspace 2 starts with what it is routed by: a stem (keys.py) or a logical key in
the partition. Raw records travel undecoded: the gateway that asked decodes them once. Every list
is bounded; the bounds are constants here. Tags 40 to 49 of keyspace 2 are those of transactions
(transactions/commands.py).
"""

from __future__ import annotations

import msgspec

from trilith.objects.records import PartEntry, Segment
from trilith.objects.types import (
    BucketInfo,
    BucketSettings,
    Checksum,
    CorsRule,
    ListPage,
    ObjectMetadata,
    PublicAccessBlock,
    UploadPage,
    WriteConditions,
)
from trilith.transactions.commands import LockHead

PARTS_PER_PAGE = 1000
LIST_LIMIT_MAX = 1000
RECORDS_PER_COLLECT_MAX = 64
LOCKS_MAX = 1000  # that a page of a listing tells of

Missed = tuple[str, bytes]  # (zone, chunk id) of a chunk that a zone lacks


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of what `evaluate` takes."""


class Query(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of what `answer` takes."""


class Result(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of what both return."""


# --- keyspace 2: objects -----------------------------------------------------------------------


class PutObject(Command, frozen=True, tag=1):
    """Store an object under a version id: the command's token, unless it is named.

    Either `body` (sealed) is given, or the bytes are in the manifest of owner = version id, whose
    first `pieces_ahead` segments were written before and whose last is `segment`.
    """

    stem: bytes
    size: int
    etag: str
    metadata: ObjectMetadata
    body: bytes | None = None
    checksum: Checksum | None = None
    conditions: WriteConditions | None = None
    wrapped_key: bytes = b""
    segment: Segment | None = None
    pieces_ahead: int = 0
    missed: list[Missed] = []
    expires_ms: int = 0
    version_id: bytes = b""


class DeleteObject(Command, frozen=True, tag=2):
    stem: bytes
    conditions: WriteConditions | None = None


class PutSegment(Command, frozen=True, tag=3):
    """Write a manifest segment ahead of the commit; `pieces_ahead` were written before it."""

    stem: bytes
    owner: bytes
    segment: Segment
    pieces_ahead: int
    missed: list[Missed] = []
    expires_ms: int = 0


class AbandonManifest(Command, frozen=True, tag=4):
    """Give up what was written ahead under `owner`. Harmless after its commit.

    TransactionConflict while a transaction is about to commit it.
    """

    stem: bytes
    owner: bytes


class CreateUpload(Command, frozen=True, tag=5):
    """Start a multipart upload; its id is the command's token."""

    stem: bytes
    metadata: ObjectMetadata
    wrapped_key: bytes
    checksum_algorithm: str | None = None
    checksum_kind: str | None = None


class PutPart(Command, frozen=True, tag=6):
    """Store a part, in place of one of that number. Its manifest's owner is the command's token."""

    stem: bytes
    upload_id: bytes
    number: int
    size: int
    etag: str
    checksum: Checksum | None = None
    segment: Segment | None = None
    pieces_ahead: int = 0
    missed: list[Missed] = []
    expires_ms: int = 0
    whole_checksum: Checksum | None = None


class StageParts(Command, frozen=True, tag=7):
    """Write a page of the part list ahead of CompleteUpload, under the object's version id."""

    stem: bytes
    owner: bytes
    offset: int
    parts: list[PartEntry]
    pieces_ahead: int


class CompleteUpload(Command, frozen=True, tag=8):
    """Turn an upload at `revision` into the object whose version id is the command's token.

    The part list is what was staged, then `parts` from byte `offset` on. `dropped`: the owners of
    uploaded parts that are not in the list.
    """

    stem: bytes
    upload_id: bytes
    revision: int
    offset: int
    parts: list[PartEntry]
    pieces_ahead: int
    part_count: int
    size: int
    etag: str
    checksum: Checksum | None = None
    conditions: WriteConditions | None = None
    dropped: list[bytes] = []


class AbortUpload(Command, frozen=True, tag=9):
    stem: bytes
    upload_id: bytes


class CloseBucket(Command, frozen=True, tag=10):
    """Fence the partition of `key` against a bucket that is being deleted (rules/fence.py)."""

    key: bytes
    bucket_id: bytes
    generation: int


class ReopenBucket(Command, frozen=True, tag=11):
    key: bytes
    bucket_id: bytes
    generation: int


class CompleteRepairs(Command, frozen=True, tag=12):
    """Remove repair entries by their logical keys, all of the partition of `keys[0]`."""

    keys: list[bytes]


class CollectReleased(Command, frozen=True, tag=13):
    """Drop up to RECORDS_PER_COLLECT_MAX records of a released manifest (its RELEASED key)."""

    key: bytes


class Settle(Command, frozen=True, tag=14):
    """Changes nothing. When it is answered, everything evaluated before it is committed."""

    key: bytes


class DropRepair(Command, frozen=True, tag=15):
    """Remove a repair entry, if it is still the one that was made at `created_ms`."""

    key: bytes
    created_ms: int


class PutTags(Command, frozen=True, tag=16):
    """Give an object other tags, in place of all it has."""

    stem: bytes
    tags: dict[str, str]


class GetObject(Query, frozen=True, tag=1):
    """The record of an object; with its inline body or first segment when `with_body`."""

    stem: bytes
    with_body: bool = True


class ListObjects(Query, frozen=True, tag=2):
    """One partition's page of a listing; `start` is only where to route."""

    start: bytes
    bucket_id: bytes
    prefix: str
    delimiter: str
    after: str
    limit: int


class ListUploads(Query, frozen=True, tag=3):
    start: bytes
    bucket_id: bytes
    prefix: str
    delimiter: str
    after_key: str
    after_upload_id: str
    limit: int


class GetUpload(Query, frozen=True, tag=4):
    stem: bytes
    upload_id: bytes


class ListParts(Query, frozen=True, tag=5):
    stem: bytes
    upload_id: bytes
    after: int
    limit: int


class GetSegments(Query, frozen=True, tag=6):
    """Segments of an owner: the one that holds byte `offset`, and those after it."""

    stem: bytes
    owner: bytes
    offset: int
    limit: int


class GetPartList(Query, frozen=True, tag=7):
    """Pages of a completed object's part list: the one that holds byte `offset`, and later ones."""

    stem: bytes
    owner: bytes
    offset: int
    limit: int


class ListRepairs(Query, frozen=True, tag=8):
    """Repair entries of one partition from `start` on; of one zone, or of all when empty."""

    start: bytes
    zone: str
    limit: int


class ListPending(Query, frozen=True, tag=9):
    """Manifests written ahead before `created_before_ms` and still not committed."""

    start: bytes
    created_before_ms: int
    limit: int


class ListReleased(Query, frozen=True, tag=10):
    """Released manifests, released before `released_before_ms`."""

    start: bytes
    released_before_ms: int
    limit: int


class ListReferences(Query, frozen=True, tag=11):
    """Chunk ids in the segments of one partition, from the logical key `start` up to `end`."""

    start: bytes
    end: bytes
    limit: int


class GetRepair(Query, frozen=True, tag=12):
    """When a repair entry was made, as the offset of a record; no record: it is gone."""

    key: bytes


class FindUsers(Query, frozen=True, tag=13):
    """Which segments, from the logical key `start` up to `end`, name any of some chunks.

    `chunk_ids`: 32 bytes each. `limit`: segments looked at.
    """

    start: bytes
    end: bytes
    chunk_ids: bytes
    limit: int


# --- keyspace 1: system ------------------------------------------------------------------------


class CreateBucket(Command, frozen=True, tag=20):
    name: str
    bucket_id: bytes
    owner: str
    region: str
    tags: dict[str, str] = {}


class DeleteBucket(Command, frozen=True, tag=21):
    """Delete the record if it is still of this id and generation."""

    name: str
    bucket_id: bytes
    generation: int


class UpdateGeneration(Command, frozen=True, tag=22):
    """Raise the generation by one if it is still `generation`: voids deletions under way."""

    name: str
    bucket_id: bytes
    generation: int


class PutBucketTags(Command, frozen=True, tag=23):
    """Give a bucket other tags, in place of all it has."""

    name: str
    tags: dict[str, str]


class PutCors(Command, frozen=True, tag=24):
    """Give a bucket other CORS rules, in place of all it has."""

    name: str
    rules: list[CorsRule]


class PutPublicAccessBlock(Command, frozen=True, tag=25):
    name: str
    block: PublicAccessBlock | None


class GetBucket(Query, frozen=True, tag=20):
    name: str


class GetBucketSettings(Query, frozen=True, tag=22):
    name: str


class ListBuckets(Query, frozen=True, tag=21):
    start: bytes
    owner: str
    prefix: str
    after: str
    limit: int


# --- results -----------------------------------------------------------------------------------


class Done(Result, frozen=True, tag=1):
    pass


class Stored(Result, frozen=True, tag=2):
    version_id: bytes
    last_modified_ms: int


class Deleted(Result, frozen=True, tag=3):
    existed: bool


class FoundObject(Result, frozen=True, tag=4):
    """`record`: an ObjectRecord. `content`: INLINE: the sealed body; CHUNKED: the first segment.

    `lock`: of a transaction that will change the object. Then there may be none: no record.
    """

    record: bytes
    content: bytes | None
    lock: LockHead | None = None


class ObjectsPage(Result, frozen=True, tag=5):
    """`locks`, LOCKS_MAX at most: of transactions that will change objects of what was read.

    `read_to`: the logical key up to which that is; empty: the partition's whole part.
    """

    page: ListPage
    locks: list[LockHead] = []
    read_to: bytes = b""


class UploadsPage(Result, frozen=True, tag=6):
    page: UploadPage


class FoundUpload(Result, frozen=True, tag=7):
    record: bytes


class PartsPage(Result, frozen=True, tag=8):
    """`records`: (part number, PartRecord)."""

    upload: bytes
    records: list[tuple[int, bytes]]
    more: bool


class Records(Result, frozen=True, tag=9):
    """(offset, record) of segments or part list pages, in order."""

    records: list[tuple[int, bytes]]


class Keys(Result, frozen=True, tag=10):
    """Logical keys found, and where to go on in this partition (empty: that was all)."""

    keys: list[bytes]
    next_start: bytes


class Collected(Result, frozen=True, tag=11):
    """`chunk_ids` (32 bytes each, as often as referenced) lost a reference. `more`: call again."""

    chunk_ids: bytes
    more: bool


class FoundBucket(Result, frozen=True, tag=12):
    bucket: BucketInfo


class BucketsPage(Result, frozen=True, tag=13):
    buckets: list[BucketInfo]
    next_after: str | None


class FoundSettings(Result, frozen=True, tag=16):
    settings: BucketSettings


class References(Result, frozen=True, tag=14):
    """`chunk_ids` (32 bytes each, as often as referenced); where to go on, empty: that was all."""

    chunk_ids: bytes
    next_start: bytes


class Users(Result, frozen=True, tag=15):
    """(chunk id, logical key of a segment that names it); where to go on, empty: that was all."""

    users: list[tuple[bytes, bytes]]
    next_start: bytes
