"""Multipart uploads.

Each part has a manifest of its own, sealed under the upload's data key; completing an upload moves
no chunk references: the object's part list names the parts' manifests. The list is checked and
written in pages of PARTS_PER_PAGE, all but the last staged ahead of the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import cast

from trilith.errors import (
    ConditionalConflict,
    InvalidPartOrder,
    InvalidRequest,
    ObjectNotFound,
    UploadNotFound,
)
from trilith.objects.commands import (
    PARTS_PER_PAGE,
    AbortUpload,
    CompleteUpload,
    CreateUpload,
    FoundUpload,
    GetUpload,
    ListParts,
    PartsPage,
    PutPart,
    StageParts,
    Stored,
)
from trilith.objects.keys import OWNER_SIZE, stem_of
from trilith.objects.manifests import ManifestWriter, abandon
from trilith.objects.part_list_check import PartListCheck
from trilith.objects.readers import object_info
from trilith.objects.reading import ReadOperations
from trilith.objects.records import (
    OBJECT_RECORD,
    PART_RECORD,
    UPLOAD_RECORD,
    PartRecord,
    UploadRecord,
)
from trilith.objects.types import (
    NO_CONDITIONS,
    Body,
    BucketInfo,
    Checksum,
    CompletedPart,
    ObjectInfo,
    ObjectMetadata,
    PartInfo,
    PartPage,
    UploadInfo,
    WriteConditions,
)
from trilith.objects.writing import (
    Incoming,
    StreamedBody,
    WriteOperations,
    given,
    incoming,
)

PART_NUMBER_MAX = 10_000
_COMPLETE_ATTEMPTS = 4

LateChecksum = Callable[[], Checksum | None]  # asked when the body has ended


def no_checksum() -> None:
    """Of a body of which nothing more is to be known."""


def parse_upload_id(upload_id: str) -> bytes:
    """Raises UploadNotFound for what never was an upload id."""
    try:
        parsed = bytes.fromhex(upload_id)
    except ValueError:
        parsed = b""
    if len(parsed) != OWNER_SIZE or parsed.hex() != upload_id:
        raise UploadNotFound
    return parsed


def _upload_info(key: str, upload_id: str, record: UploadRecord) -> UploadInfo:
    return UploadInfo(
        key,
        upload_id,
        record.initiated_ms,
        record.metadata,
        record.checksum_algorithm,
        record.checksum_kind,
    )


def _part_info(number: int, record: PartRecord) -> PartInfo:
    return PartInfo(
        number,
        record.size,
        record.etag,
        record.last_modified_ms,
        record.checksum,
        record.whole_checksum,
    )


class UploadHandle:
    """An upload found: what writing one of its parts needs."""

    __slots__ = ("bucket", "data_key", "key", "record", "stem", "upload_id")

    def __init__(
        self,
        bucket: BucketInfo,
        key: str,
        upload_id: bytes,
        record: UploadRecord,
        data_key: bytes,
    ) -> None:
        self.bucket = bucket
        self.key = key
        self.stem = stem_of(bucket.bucket_id, key)
        self.upload_id = upload_id
        self.record = record
        self.data_key = data_key


class MultipartOperations(WriteOperations, ReadOperations):
    async def create_upload(
        self,
        bucket: str,
        key: str,
        metadata: ObjectMetadata,
        *,
        checksum_algorithm: str | None = None,
        checksum_kind: str | None = None,
    ) -> UploadInfo:
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        token = self._partitions.new_token()
        _, wrapped_key = self._keys.new_data_key(info.bucket_id)
        command = CreateUpload(stem, metadata, wrapped_key, checksum_algorithm, checksum_kind)
        stored = cast(Stored, await self._commit(info, stem, command, token))
        return UploadInfo(
            key,
            token.hex(),
            stored.last_modified_ms,
            metadata,
            checksum_algorithm,
            checksum_kind,
        )

    async def get_upload(self, bucket: str, key: str, upload_id: str) -> UploadInfo:
        handle = await self._upload(bucket, key, upload_id)
        return _upload_info(key, upload_id, handle.record)

    async def _upload(self, bucket: str, key: str, upload_id: str) -> UploadHandle:
        info = await self._bucket(bucket)
        parsed = parse_upload_id(upload_id)
        stem = stem_of(info.bucket_id, key)
        found = cast(FoundUpload, await self._query(stem, GetUpload(stem, parsed)))
        record = UPLOAD_RECORD.decode(found.record)
        data_key = self._keys.unwrap(info.bucket_id, record.wrapped_key)
        return UploadHandle(info, key, parsed, record, data_key)

    async def put_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        body: Body,
        *,
        expected_md5: bytes | None = None,
        whole_checksum: LateChecksum = no_checksum,
    ) -> PartInfo:
        handle = await self._upload(bucket, key, upload_id)
        source = incoming(body, [], expected_md5)
        return await self._put_part(handle, number, source, whole_checksum)

    async def _put_part(
        self,
        handle: UploadHandle,
        number: int,
        source: Incoming,
        whole_checksum: LateChecksum = no_checksum,
    ) -> PartInfo:
        if not 1 <= number <= PART_NUMBER_MAX:
            raise InvalidRequest(f"part numbers are 1 to {PART_NUMBER_MAX}, not {number}")
        owner = self._partitions.new_token()
        manifest = ManifestWriter(
            self._partitions, self._pipeline, handle.stem, owner, handle.data_key
        )

        async def commit(streamed: StreamedBody) -> PartInfo:
            return await self._commit_part(
                handle,
                number,
                owner,
                manifest,
                streamed.size,
                streamed.md5.hex(),
                source.checksum(),
                whole_checksum(),
            )

        return await self._stream(handle.bucket, source, manifest, commit)

    async def _commit_part(
        self,
        handle: UploadHandle,
        number: int,
        owner: bytes,
        manifest: ManifestWriter,
        size: int,
        etag: str,
        checksum: Checksum | None,
        whole_checksum: Checksum | None,
    ) -> PartInfo:
        command = PutPart(
            handle.stem,
            handle.upload_id,
            number,
            size,
            etag,
            checksum,
            manifest.last_segment(),
            manifest.pieces_ahead,
            manifest.missed,
            manifest.expires_ms,
            whole_checksum,
        )
        stored = cast(Stored, await self._execute(handle.stem, command, owner))
        return PartInfo(number, size, etag, stored.last_modified_ms, checksum, whole_checksum)

    async def list_parts(
        self, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = 1000
    ) -> PartPage:
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        page = await self._parts_page(stem, parse_upload_id(upload_id), after, limit)
        upload = _upload_info(key, upload_id, UPLOAD_RECORD.decode(page.upload))
        parts = [_part_info(number, PART_RECORD.decode(raw)) for number, raw in page.records]
        return PartPage(upload, parts, parts[-1].number if page.more and parts else None)

    async def _parts_page(
        self, stem: bytes, upload_id: bytes, after: int, limit: int = PARTS_PER_PAGE
    ) -> PartsPage:
        after = min(max(after, 0), PART_NUMBER_MAX)
        limit = min(max(limit, 0), PARTS_PER_PAGE)
        return cast(PartsPage, await self._query(stem, ListParts(stem, upload_id, after, limit)))

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        await self._execute(stem, AbortUpload(stem, parse_upload_id(upload_id)))

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
    ) -> ObjectInfo:
        """Completing again, with the same parts, answers with the object while it is current."""
        if not parts:
            raise InvalidRequest("a multipart upload is completed with at least one part")
        if any(a.number >= b.number for a, b in pairwise(parts)):
            raise InvalidPartOrder
        info = await self._bucket(bucket)
        stem = stem_of(info.bucket_id, key)
        parsed = parse_upload_id(upload_id)
        algorithm = checksum.algorithm if checksum is not None else None
        for attempt in range(1, _COMPLETE_ATTEMPTS + 1):
            try:
                checked, record = await self._check_parts(stem, parsed, parts, algorithm)
                if expected_size is not None and expected_size != checked.size:
                    raise InvalidRequest(
                        f"the parts have {checked.size} bytes together, not {expected_size}"
                    )
                return await self._commit_parts(
                    stem, key, parsed, record, checked, conditions, checksum
                )
            except UploadNotFound:
                return await self._completed_before(stem, key, parsed, len(parts))
            except ConditionalConflict:
                if attempt == _COMPLETE_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _check_parts(
        self, stem: bytes, upload_id: bytes, listed: list[CompletedPart], algorithm: str | None
    ) -> tuple[PartListCheck, UploadRecord]:
        """Raises InvalidPart, PartTooSmall; ConditionalConflict when a part came in meanwhile."""
        check = PartListCheck(listed, self._part_size_bytes_min, algorithm)
        revision: int | None = None
        after, more = 0, True
        while more:
            page = await self._parts_page(stem, upload_id, after)
            upload = UPLOAD_RECORD.decode(page.upload)
            if revision is not None and revision != upload.revision:
                raise ConditionalConflict("a part was uploaded during the completion")
            revision = upload.revision
            for number, raw in page.records:
                check.add(number, PART_RECORD.decode(raw))
                after = number
            more = page.more
        check.finish()
        return check, upload

    async def _commit_parts(
        self,
        stem: bytes,
        key: str,
        upload_id: bytes,
        upload: UploadRecord,
        checked: PartListCheck,
        conditions: WriteConditions,
        checksum: Checksum | None,
    ) -> ObjectInfo:
        version_id = self._partitions.new_token()
        parts = checked.parts
        staged, offset = 0, 0
        try:
            while len(parts) - staged * PARTS_PER_PAGE > PARTS_PER_PAGE:
                page = parts[staged * PARTS_PER_PAGE : (staged + 1) * PARTS_PER_PAGE]
                await self._execute(stem, StageParts(stem, version_id, offset, page, staged))
                staged += 1
                offset += sum(part.size for part in page)
            command = CompleteUpload(
                stem,
                upload_id,
                upload.revision,
                offset,
                parts[staged * PARTS_PER_PAGE :],
                staged,
                len(parts),
                checked.size,
                checked.etag,
                checksum,
                given(conditions),
                checked.dropped,
            )
            stored = cast(Stored, await self._execute(stem, command, version_id))
        except BaseException:
            if staged:
                await abandon(self._partitions, stem, version_id)
            raise
        return ObjectInfo(
            key,
            version_id,
            checked.size,
            checked.etag,
            stored.last_modified_ms,
            upload.metadata,
            checksum,
            len(parts),
        )

    async def _completed_before(
        self, stem: bytes, key: str, upload_id: bytes, part_count: int
    ) -> ObjectInfo:
        """The answer to a client that repeats a completion whose answer it lost."""
        try:
            found = await self._find(stem, with_body=False, consistent=True)
        except ObjectNotFound:
            raise UploadNotFound from None
        record = OBJECT_RECORD.decode(found.record)
        if record.upload_id != upload_id or record.part_count != part_count:
            raise UploadNotFound
        return object_info(key, record)
