"""What is stored: versioned records.

The first byte of a record is its format version; a reader accepts all earlier ones. The rest is
msgpack of a Struct as an array: fields may be added at the end (with defaults) without a new
version; anything else needs one. An ObjectRecord's second byte is its `Kind`, which the leader
needs before anything else.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from trilith.errors import Corruption
from trilith.objects.types import BucketSettings, Checksum, ObjectMetadata
from trilith.record_codec import RecordCodec
from trilith.undecodable import UNDECODABLE


class Kind(IntEnum):
    """How an object's bytes are kept."""

    INLINE = 0  # sealed in the INLINE record
    CHUNKED = 1  # one manifest, owned by the version id
    MULTIPART = 2  # a part list owned by the version id; each part owns a manifest


class ListedRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The fields of an ObjectRecord that a listing needs; decodes from the same bytes."""

    size: int
    etag: str
    last_modified_ms: int
    storage_class: str
    checksum: Checksum | None


class ObjectRecord(msgspec.Struct, frozen=True, array_like=True):
    """The metadata of one object version. Starts with the fields of ListedRecord.

    `wrapped_key`: the data key wrapped by the bucket's (not for inline objects: key_ring.py).
    `part_count`: 0 unless MULTIPART. `upload_id`: the upload that was completed into this.
    """

    size: int
    etag: str
    last_modified_ms: int
    storage_class: str
    checksum: Checksum | None
    version_id: bytes
    metadata: ObjectMetadata
    wrapped_key: bytes = b""
    part_count: int = 0
    upload_id: bytes = b""


class UploadRecord(msgspec.Struct, frozen=True, array_like=True):
    """A multipart upload in progress. `revision` counts the changes of its parts."""

    initiated_ms: int
    metadata: ObjectMetadata
    checksum_algorithm: str | None
    checksum_kind: str | None
    wrapped_key: bytes
    revision: int = 0


class PartRecord(msgspec.Struct, frozen=True, array_like=True):
    """An uploaded part. `owner` names its manifest.

    `whole_checksum`: of an upload that names no algorithm, what the object's is combined from.
    """

    size: int
    etag: str
    last_modified_ms: int
    owner: bytes
    checksum: Checksum | None = None
    whole_checksum: Checksum | None = None


class PartEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One part of a completed object. `checksum`: of the object's algorithm."""

    number: int
    size: int
    owner: bytes
    checksum: Checksum | None = None


class PartListPage(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive parts of a completed object, at most PARTS_PER_PAGE."""

    parts: list[PartEntry]


class Segment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run of at most CHUNKS_PER_SEGMENT chunk references of one owner.

    `offset` and `length`: the plaintext bytes it covers. `chunk_ids`: 32 bytes each, readable, so
    that reference counting and repair need no key. `sealed`: keys and sizes (manifest.py).
    """

    offset: int
    length: int
    chunk_ids: bytes
    sealed: bytes


class PendingRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A manifest or part list being written ahead of its commit. `pieces`: records written."""

    created_ms: int
    pieces: int


class ReleasedKind(IntEnum):
    """What a RELEASED record still holds."""

    MANIFEST = 0  # segments of the owner
    PART_LIST = 1  # pages of a part list, and each part's manifest
    UPLOAD = 2  # PART records of an upload, and each part's manifest


class ReleasedRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    kind: ReleasedKind
    released_ms: int


class FenceRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    generation: int
    closed: bool


class RepairRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    created_ms: int


class BucketRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Name is the record's key."""

    bucket_id: bytes
    owner: str
    created_ms: int
    region: str
    generation: int = 0
    tags: dict[str, str] = {}


_encode = msgspec.msgpack.encode


class ObjectRecordCodec:
    """ObjectRecord: version byte, kind byte, msgpack."""

    def __init__(self) -> None:
        self._decode = msgspec.msgpack.Decoder(ObjectRecord).decode
        self._decode_listed = msgspec.msgpack.Decoder(ListedRecord).decode
        self._heads = {kind: bytes((1, kind)) for kind in Kind}

    def encode(self, kind: Kind, record: ObjectRecord) -> bytes:
        return self._heads[kind] + _encode(record)

    def kind(self, raw: bytes) -> int:
        """Compare with `Kind` members; raises Corruption for an unknown version, or a stump."""
        if len(raw) < 2 or raw[0] != 1:
            raise Corruption(f"ObjectRecord of unknown version {raw[:1].hex()}")
        return raw[1]

    def decode(self, raw: bytes) -> ObjectRecord:
        self.kind(raw)
        try:
            return self._decode(memoryview(raw)[2:])
        except UNDECODABLE as error:
            raise Corruption(f"ObjectRecord does not decode: {error}") from error

    def decode_listed(self, raw: bytes) -> ListedRecord:
        self.kind(raw)
        try:
            return self._decode_listed(memoryview(raw)[2:])
        except UNDECODABLE as error:
            raise Corruption(f"ObjectRecord does not decode: {error}") from error


OBJECT_RECORD = ObjectRecordCodec()
UPLOAD_RECORD = RecordCodec(UploadRecord)
PART_RECORD = RecordCodec(PartRecord)
PART_LIST_PAGE = RecordCodec(PartListPage)
SEGMENT_RECORD = RecordCodec(Segment)
PENDING_RECORD = RecordCodec(PendingRecord)
RELEASED_RECORD = RecordCodec(ReleasedRecord)
FENCE_RECORD = RecordCodec(FenceRecord)
REPAIR_RECORD = RecordCodec(RepairRecord)
BUCKET_RECORD = RecordCodec(BucketRecord)
SETTINGS_RECORD = RecordCodec(BucketSettings)
