"""The checksum of a completed multipart upload: computed from its parts', compared with what was
announced. An upload that named no algorithm gets a CRC64NVME of the whole, as with AWS.

The parts' digests are read before the completion; the completion itself checks each part's ETag,
so a part that was replaced meanwhile fails there.
"""

from __future__ import annotations

from trilith.errors import UploadNotFound
from trilith.objects.part_list_check import checksum_of
from trilith.objects.types import Checksum, CompletedPart, Objects, PartInfo, UploadInfo
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
    kind: str | None,
    *,
    checksums_required: bool = True,
) -> Checksum | None:
    """What to store; None where the parts do not say. `kind` as x-amz-checksum-type has it.

    `checksums_required`: whether `parts` must have those of an upload that combines them.
    Raises InvalidPart, BadDigest, InvalidRequest.
    """
    try:
        upload = await objects.get_upload(bucket, key, upload_id)
    except UploadNotFound:
        return None  # perhaps completed before: the completion itself knows
    if kind is not None and upload.checksum_kind not in (None, kind):
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {upload.checksum_kind} checksum mode. The complete "
            "request must use the same checksum mode.",
        )
    stored = await _stored_parts(objects, bucket, key, upload_id)
    chosen: list[PartInfo] = []
    for part in parts:
        found = stored.get(part.number)
        if found is None or found.etag != part.etag:
            raise _invalid_part(part)
        _compare_part(upload, part, found, required=checksums_required)
        chosen.append(found)
    if upload.checksum_algorithm is None:
        return _whole_checksum(chosen, announced)
    algorithm = ALGORITHMS[upload.checksum_algorithm]
    computed = _combine(algorithm, upload.checksum_kind, chosen)
    if announced is not None:
        _compare(algorithm, computed, announced)
    return computed


def _whole_checksum(parts: list[PartInfo], announced: Checksum | None) -> Checksum | None:
    """Of an upload that named no algorithm. What is announced is compared where the parts can tell,
    and is otherwise no reason to refuse it, as with AWS.
    """
    if announced is not None:
        algorithm = ALGORITHMS[announced.algorithm]
        is_whole = announced.kind == checksums.FULL_OBJECT
        is_possible = algorithm.polynomial is not None if is_whole else algorithm.composite
        if is_possible and all(checksum_of(part, algorithm.name) for part in parts):
            _compare(algorithm, _combine(algorithm, announced.kind, parts), announced)
    whole = [part.whole_checksum for part in parts if part.whole_checksum is not None]
    if len(whole) < len(parts):
        return None
    return _combine(ALGORITHMS[whole[0].algorithm], None, parts)


def _invalid_part(part: CompletedPart) -> S3Error:
    return S3Error("InvalidPart", elements={"PartNumber": part.number, "ETag": part.etag})


def _compare_part(
    upload: UploadInfo, part: CompletedPart, found: PartInfo, *, required: bool
) -> None:
    """A listed part's checksum with the uploaded one's; a COMPOSITE one must be listed."""
    expected = upload.checksum_algorithm
    if part.checksum is None:
        if required and expected is not None and upload.checksum_kind == checksums.COMPOSITE:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {expected.lower()} checksum. The complete request "
                "must include the checksum for each part. It was missing for part "
                f"{part.number} in the request.",
            )
        return
    if expected is not None and part.checksum.algorithm != expected:
        raise S3Error(
            "BadDigest",
            f"The {part.checksum.algorithm.lower()} you specified for part {part.number} did not "
            "match what we received.",
        )
    kept = checksum_of(found, part.checksum.algorithm)
    if kept is None or kept.value != part.checksum.value:
        raise _invalid_part(part)


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


def _combine(algorithm: Algorithm, kind: str | None, parts: list[PartInfo]) -> Checksum:
    digests: list[tuple[bytes, int]] = []
    for part in parts:
        checksum = checksum_of(part, algorithm.name)
        if checksum is None:
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
