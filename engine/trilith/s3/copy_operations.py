"""CopyObject and UploadPartCopy: the service copies by reference, the bytes are not moved."""

from __future__ import annotations

from msgspec.structs import replace as replace_fields

from trilith.objects.types import ObjectMetadata, ObjectReader
from trilith.s3.answer import Answer, xml_answer
from trilith.s3.checksums import parse_algorithm
from trilith.s3.conditions import check_copy_source, write_conditions
from trilith.s3.context import Context
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.headers import ENCRYPTED, read_metadata, storage_class_of
from trilith.s3.names import check_key, is_bucket_name
from trilith.s3.object_operations import (
    OBJECT_BYTES_MAX,
    check_parameters,
    checksum_elements,
    part_checksum_element,
    part_number,
)
from trilith.s3.ranges import parse_copy_range
from trilith.s3.request import Request
from trilith.s3.request_head import decode_path
from trilith.s3.tags import header_tags
from trilith.s3.timestamps import iso_ms
from trilith.s3.xml import NAMESPACE

SOURCE = b"x-amz-copy-source"


def copy_source(request: Request) -> tuple[str, str]:
    """Bucket and key of x-amz-copy-source: `[/]bucket/key[?versionId=null]`, percent-encoded."""
    raw = request.head.header_map[SOURCE]
    path, _, query = raw.partition(b"?versionId=")
    if query and query != b"null":
        raise _bad_source("Invalid version id specified", raw)
    # Some clients encode the separator too.
    if b"/" not in path.removeprefix(b"/"):
        path = path.replace(b"%2F", b"/").replace(b"%2f", b"/")
    raw_bucket, _, raw_key = path.removeprefix(b"/").partition(b"/")
    if not raw_bucket or not raw_key or raw_bucket.startswith(b"arn:"):
        raise _bad_source(
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", raw
        )
    try:
        bucket, key = decode_path(raw_bucket), check_key(raw_key)
    except S3Error as error:
        if error.code != "InvalidURI":
            raise
        raise _bad_source("Invalid copy source encoding", raw) from None
    if not is_bucket_name(bucket):
        raise _bad_source("Invalid copy source bucket name", raw)
    return bucket, key


def _bad_source(why: str, raw: bytes) -> S3Error:
    return invalid_argument(why, SOURCE.decode(), raw.decode("latin-1"))


async def _open_source(context: Context, request: Request) -> ObjectReader:
    bucket, key = copy_source(request)
    reader = await context.objects.open_object(bucket, key)
    check_copy_source(request.head, reader.info)
    return reader


def _replaces(request: Request, what: str) -> bool:
    """Whether `x-amz-WHAT-directive` is REPLACE, not COPY. Raises InvalidArgument."""
    name = f"x-amz-{what}-directive"
    text = request.header(name.encode()) or "COPY"
    if text not in ("COPY", "REPLACE"):
        raise invalid_argument(f"Unknown {what} directive.", name, text)
    return text == "REPLACE"


# Whoever copies an object to itself has to change one of these; to name what it is will do.
_CHANGES = frozenset(
    {b"x-amz-checksum-algorithm", b"x-amz-server-side-encryption", b"x-amz-storage-class"}
)


def _metadata(
    request: Request, stored: ObjectMetadata, *, replace: bool, replace_tags: bool
) -> ObjectMetadata:
    """The copy's: the source's, or what the request says, of tags and of all the rest.

    The storage class is never the source's.
    """
    metadata = read_metadata(request.head) if replace else stored
    if replace != replace_tags:
        tags = header_tags(request.head) if replace_tags else stored.tags
        metadata = replace_fields(metadata, tags=tags)
    storage_class = storage_class_of(request.head)
    if metadata.storage_class == storage_class:
        return metadata
    return replace_fields(metadata, storage_class=storage_class)


async def copy_object(context: Context, request: Request) -> Answer:
    check_parameters(request)
    conditions = write_conditions(request.head)
    replace, replace_tags = _replaces(request, "metadata"), _replaces(request, "tagging")
    name = request.header(b"x-amz-checksum-algorithm")
    algorithm = parse_algorithm(name).name if name else None
    is_change = replace or replace_tags or not _CHANGES.isdisjoint(request.head.header_map)
    if copy_source(request) == (request.bucket, request.key) and not is_change:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself "
            "without changing the object's metadata, storage class, website redirect location or "
            "encryption attributes.",
        )
    await request.read_document(0)
    source = await _open_source(context, request)
    if source.info.size > OBJECT_BYTES_MAX:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy "
            f"source: {OBJECT_BYTES_MAX}",
        )
    metadata = _metadata(request, source.info.metadata, replace=replace, replace_tags=replace_tags)
    info = await context.objects.copy_object(
        source,
        request.bucket,
        request.key,
        metadata,
        conditions=conditions,
        checksum_algorithm=algorithm,
    )
    answer = xml_answer(
        f'<CopyObjectResult xmlns="{NAMESPACE}">'
        f"<LastModified>{iso_ms(info.last_modified_ms)}</LastModified>"
        f"<ETag>&quot;{info.etag}&quot;</ETag>{checksum_elements(info)}</CopyObjectResult>"
    )
    return answer._replace(headers=[*answer.headers, ENCRYPTED])


async def upload_part_copy(context: Context, request: Request) -> Answer:
    number = part_number(request)
    upload_id = request.parameter("uploadId")
    await request.read_document(0)
    await context.objects.get_upload(request.bucket, request.key, upload_id)
    source = await _open_source(context, request)
    size = source.info.size
    text = request.header(b"x-amz-copy-source-range")
    first, last = (0, size - 1) if text is None else parse_copy_range(text, size)
    if last - first + 1 > OBJECT_BYTES_MAX:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy "
            f"source: {OBJECT_BYTES_MAX}",
        )
    part = await context.objects.copy_part(
        source, first, last, request.bucket, request.key, upload_id, number
    )
    checksum = part_checksum_element(part.checksum or part.whole_checksum)
    answer = xml_answer(
        f'<CopyPartResult xmlns="{NAMESPACE}">'
        f"<LastModified>{iso_ms(part.last_modified_ms)}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag>{checksum}</CopyPartResult>"
    )
    return answer._replace(headers=[*answer.headers, ENCRYPTED])
