"""The checksum of a completed multipart upload: computed from its parts', compared with what was
announced.

The parts' digests are read before the completion; the completion itself checks each part's ETag,
so a part that was replaced meanwhile fails there.
"""

from __future__ import annotations

from trilith.errors import UploadNotFound
from trilith.objects.types import Checksum, CompletedPart, Objects, PartInfo
from trilith.s3 import checksums
from trilith.s3.checksums import ALGORITHMS, Algorithm
from trilith.s3.errors import S3Error

_PAGE = 1000


async def completed_checksum(
    objects: Objects,
    bucket: str,
    key: str,
    upload_id: str,
    parts: list[CompletedPart],
    announced: Checksum | None,
) -> Checksum | None:
    """What to store, or None for an upload without checksums. Raises InvalidPart, BadDigest."""
    try:
        upload = await objects.get_upload(bucket, key, upload_id)
    except UploadNotFound:
        return None  # perhaps completed before: the completion itself knows
    name = upload.checksum_algorithm or (announced.algorithm if announced is not None else None)
    if name is None and not any(part.checksum is not None for part in parts):
        return None
    stored = await _stored_parts(objects, bucket, key, upload_id)
    chosen = [(part, stored.get(part.number)) for part in parts]
    for part, found in chosen:
        if found is None or found.etag != part.etag:
            raise S3Error("InvalidPart", elements={"PartNumber": part.number, "ETag": part.etag})
        if part.checksum is not None and part.checksum.value != _value(found, part.checksum):
            raise S3Error("InvalidPart", elements={"PartNumber": part.number, "ETag": part.etag})
    if name is None:
        return None
    algorithm = ALGORITHMS[name]
    kind = upload.checksum_kind or (announced.kind if announced is not None else None)
    computed = _combine(algorithm, kind, [found for _, found in chosen if found is not None])
    if announced is not None:
        _compare(algorithm, computed, announced)
    return computed


async def _stored_parts(
    objects: Objects, bucket: str, key: str, upload_id: str
) -> dict[int, PartInfo]:
    stored: dict[int, PartInfo] = {}
    after: int | None = 0
    while after is not None:
        page = await objects.list_parts(bucket, key, upload_id, after=after, limit=_PAGE)
        stored.update((part.number, part) for part in page.parts)
        after = page.next_after
    return stored


def _value(part: PartInfo, like: Checksum) -> str | None:
    if part.checksum is None or part.checksum.algorithm != like.algorithm:
        return None
    return part.checksum.value


def _combine(algorithm: Algorithm, kind: str | None, parts: list[PartInfo]) -> Checksum:
    digests: list[tuple[bytes, int]] = []
    for part in parts:
        checksum = part.checksum
        if checksum is None or checksum.algorithm != algorithm.name:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {algorithm.name.lower()} checksum. Part "
                f"{part.number} does not have one.",
            )
        digests.append((checksums.parse_digest(algorithm, checksum.value), part.size))
    if checksums.multipart_kind(algorithm, kind) == checksums.COMPOSITE:
        return checksums.composite_checksum(algorithm, [digest for digest, _ in digests])
    return checksums.full_object_checksum(algorithm, digests)


def _compare(algorithm: Algorithm, computed: Checksum, announced: Checksum) -> None:
    """A composite value may be announced with or without its `-N`."""
    expected = announced.value
    if computed.kind == checksums.COMPOSITE and "-" not in expected:
        expected += "-" + computed.value.rpartition("-")[2]
    if announced.algorithm != computed.algorithm or expected != computed.value:
        raise checksums.digest_mismatch(algorithm)
