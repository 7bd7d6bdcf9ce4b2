"""The typed calls and values of the object model: what S3, the SDK and transactions share.

Nothing here knows HTTP, partitions or disks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec


class Checksum(msgspec.Struct, frozen=True, array_like=True):
    """An additional checksum as S3 defines it.

    `algorithm`: CRC32 | CRC32C | CRC64NVME | SHA1 | SHA256. `value`: base64 (a composite value
    carries its `-N` suffix). `kind`: FULL_OBJECT | COMPOSITE.
    """

    algorithm: str
    value: str
    kind: str = "FULL_OBJECT"


class ObjectMetadata(msgspec.Struct, frozen=True, array_like=True):
    """What the caller stores beside the bytes.

    `headers`: standard headers by lower-case name (content-type, cache-control,
    content-disposition, content-encoding, content-language, expires). `user`: x-amz-meta-* without
    the prefix, lower-case names. Both as stored; their limits are the protocol's to check.
    """

    headers: dict[str, str] = {}
    user: dict[str, str] = {}
    storage_class: str = "STANDARD"
    tags: dict[str, str] = {}


class ObjectInfo(msgspec.Struct, frozen=True, array_like=True):
    """One object version's facts. `etag` is without quotes; `size` in bytes."""

    key: str
    version_id: bytes
    size: int
    etag: str
    last_modified_ms: int
    metadata: ObjectMetadata
    checksum: Checksum | None = None
    part_sizes_count: int = 0  # 0: not from a multipart upload


class BucketInfo(msgspec.Struct, frozen=True, array_like=True):
    name: str
    bucket_id: bytes
    owner: str
    created_ms: int
    region: str
    generation: int = 0
    tags: dict[str, str] = {}


class CorsRule(msgspec.Struct, frozen=True, array_like=True):
    """What pages of other origins may do with a bucket, as S3's CORS configuration has it."""

    allowed_methods: list[str]
    allowed_origins: list[str]  # each with one `*` at most, as the headers
    allowed_headers: list[str] = []
    expose_headers: list[str] = []
    max_age_s: int | None = None
    rule_id: str | None = None


class PublicAccessBlock(msgspec.Struct, frozen=True, array_like=True):
    """S3's block of public access. Nothing is public here: it is kept, and changes nothing."""

    block_acls: bool = False
    ignore_acls: bool = False
    block_policy: bool = False
    restrict_buckets: bool = False


class BucketSettings(msgspec.Struct, frozen=True, array_like=True):
    """What is configured of a bucket and no request but those that ask for it has to read."""

    cors: list[CorsRule] = []
    public_access_block: PublicAccessBlock | None = None


class WriteConditions(msgspec.Struct, frozen=True, array_like=True):
    """Checked by the leader, atomically with the write. ETags without quotes."""

    if_match: str | None = None
    if_none_match_any: bool = False


NO_CONDITIONS = WriteConditions()


class ListEntry(msgspec.Struct, frozen=True, array_like=True):
    key: str
    size: int
    etag: str
    last_modified_ms: int
    storage_class: str = "STANDARD"
    checksum_algorithm: str | None = None
    checksum_kind: str | None = None


class ListPage(msgspec.Struct, frozen=True, array_like=True):
    """One page of a listing. `next_after` continues it: pass it as `after`; None on the last page.

    `entries` and `common_prefixes` together hold at most the `limit` asked for.
    """

    entries: list[ListEntry]
    common_prefixes: list[str]
    next_after: str | None


class UploadInfo(msgspec.Struct, frozen=True, array_like=True):
    key: str
    upload_id: str
    initiated_ms: int
    metadata: ObjectMetadata
    checksum_algorithm: str | None = None
    checksum_kind: str | None = None


class UploadPage(msgspec.Struct, frozen=True, array_like=True):
    uploads: list[UploadInfo]
    common_prefixes: list[str]
    next_after: tuple[str, str] | None  # (key marker, upload id marker)


class PartInfo(msgspec.Struct, frozen=True, array_like=True):
    """An uploaded part. `whole_checksum`: of an upload that names no algorithm, what the object's
    is combined from.
    """

    number: int
    size: int
    etag: str
    last_modified_ms: int
    checksum: Checksum | None = None
    whole_checksum: Checksum | None = None


class PartPage(msgspec.Struct, frozen=True, array_like=True):
    upload: UploadInfo
    parts: list[PartInfo]
    next_after: int | None


class CompletedPart(msgspec.Struct, frozen=True, array_like=True):
    """A part as the caller lists it in CompleteMultipartUpload."""

    number: int
    etag: str
    checksum: Checksum | None = None


class ObjectPart(msgspec.Struct, frozen=True, array_like=True):
    """A part of a completed object. `checksum`: of the object's algorithm; None: not kept."""

    number: int
    size: int
    checksum: Checksum | None = None


class Body(Protocol):
    """A request body being received; decoded (no aws-chunked framing), verified as it streams.

    `read` raises IncompleteBody or BodyMismatch when the end does not fit what was announced, so a
    body that was read to b"" is whole and verified.
    """

    @property
    def size(self) -> int | None:
        """Decoded length in bytes when the caller announced it."""
        ...

    async def read(self) -> bytes | bytearray | memoryview:
        """The next run of bytes, b"" at the end. The caller may keep it."""
        ...

    def checksum(self) -> Checksum | None:
        """After the end: the additional checksum to store (announced, or computed as asked for)."""
        ...


class ObjectReader(Protocol):
    """An open object version. Reads stay consistent though the key is overwritten meanwhile."""

    info: ObjectInfo

    def small_body(self) -> bytes | None:
        """The whole plaintext when it is at hand (an inline object), else None."""
        ...

    def stream(self, first: int, last: int) -> AsyncIterator[bytes]:
        """Plaintext bytes first..last inclusive, verified, in runs of up to a chunk."""
        ...


class Objects(Protocol):
    """The object service. Every mutation is durable in every in-sync zone when it returns.

    Raises (see errors.py) BucketNotFound, ObjectNotFound, UploadNotFound, PreconditionFailed, ...,
    and `Unavailable`/`OutcomeUnknown`. Names are valid: the protocol layer checks their syntax.
    """

    async def create_bucket(
        self, name: str, *, owner: str, region: str, tags: dict[str, str] | None = None
    ) -> BucketInfo: ...

    async def get_bucket(self, name: str) -> BucketInfo: ...

    async def delete_bucket(self, name: str) -> None:
        """Of a bucket without objects; uploads in progress are aborted."""
        ...

    async def put_bucket_tags(self, name: str, tags: dict[str, str]) -> None:
        """In place of those there are."""
        ...

    async def get_bucket_settings(self, name: str) -> BucketSettings: ...

    async def put_cors(self, name: str, rules: list[CorsRule]) -> None:
        """In place of those there are; none: no configuration."""
        ...

    async def put_public_access_block(self, name: str, block: PublicAccessBlock | None) -> None: ...

    async def list_buckets(
        self,
        *,
        owner: str,
        prefix: str = "",
        after: str = "",
        limit: int = 10_000,
        consistent: bool = True,
    ) -> tuple[list[BucketInfo], str | None]: ...

    async def put_object(
        self,
        bucket: str,
        key: str,
        body: Body,
        metadata: ObjectMetadata,
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        expected_md5: bytes | None = None,
        token: Callable[[], bytes | None] = lambda: None,
    ) -> ObjectInfo:
        """`token`, asked after the body's end: of a caller who may send the request again (a
        UUIDv7): it is applied once.
        """
        ...

    async def open_object(
        self, bucket: str, key: str, *, consistent: bool = True
    ) -> ObjectReader: ...

    def try_open_object(self, bucket: str, key: str) -> ObjectReader | None:
        """`open_object` without awaiting; None: use `open_object`. Raises the same errors."""
        ...

    async def head_object(
        self, bucket: str, key: str, *, consistent: bool = True
    ) -> ObjectInfo: ...

    async def delete_object(
        self,
        bucket: str,
        key: str,
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        token: bytes | None = None,
    ) -> bool:
        """Whether there was one; deleting what is absent succeeds (unless if_match is given)."""
        ...

    async def put_tags(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        """In place of those there are. The version, its time and its ETag stay."""
        ...

    async def copy_object(
        self,
        source: ObjectReader,
        bucket: str,
        key: str,
        metadata: ObjectMetadata,
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        checksum_algorithm: str | None = None,
        token: bytes | None = None,
    ) -> ObjectInfo:
        """Copies by reference to chunks where it can: the bytes are not moved."""
        ...

    async def list_objects(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
        consistent: bool = True,
    ) -> ListPage:
        """Keys in UTF-8 byte order, strictly after `after` (a key, or a common prefix to skip)."""
        ...

    async def create_upload(
        self,
        bucket: str,
        key: str,
        metadata: ObjectMetadata,
        *,
        checksum_algorithm: str | None = None,
        checksum_kind: str | None = None,
    ) -> UploadInfo: ...

    async def get_upload(self, bucket: str, key: str, upload_id: str) -> UploadInfo: ...

    async def put_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        expected_md5: bytes | None = None,
        whole_checksum: Callable[[], Checksum | None] = lambda: None,
    ) -> PartInfo:
        """`whole_checksum`, asked after the body's end: see PartInfo."""
        ...

    async def copy_part(
        self,
        source: ObjectReader,
        first: int,
        last: int,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
    ) -> PartInfo: ...

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: list[CompletedPart],
        *,
        conditions: WriteConditions = NO_CONDITIONS,
        checksum: Checksum | None = None,
        expected_size: int | None = None,
    ) -> ObjectInfo: ...

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None: ...

    async def list_parts(
        self, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = 1000
    ) -> PartPage: ...

    async def list_uploads(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after_key: str = "",
        after_upload_id: str = "",
        limit: int = 1000,
    ) -> UploadPage: ...

    async def object_parts(self, reader: ObjectReader) -> list[ObjectPart]:
        """The parts of a multipart object in order; none of another."""
        ...
