"""ListBuckets, ListObjects in both versions, and ListObjectVersions."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable

from trilith.iam.credentials import Identity
from trilith.objects.types import ListEntry, ListPage
from trilith.s3.answer import Answer, xml_answer
from trilith.s3.context import Context
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.object_operations import is_consistent
from trilith.s3.request import Request
from trilith.s3.timestamps import iso_ms
from trilith.s3.xml import NAMESPACE, element, escape, is_carried, url_encode

KEYS_MAX = 1000
BUCKETS_MAX = 10_000


def owner_element(identity: Identity, name: str = "Owner") -> str:
    return (
        f"<{name}>{element('ID', identity.canonical_user_id)}"
        f"{element('DisplayName', identity.display_name)}</{name}>"
    )


def name_encoder(request: Request) -> Callable[[str], str]:
    """How keys, prefixes and markers are written: `encoding-type=url`, or XML's own escapes."""
    encoding = request.parameter("encoding-type")
    if encoding == "url":
        return url_encode
    if encoding:
        raise invalid_argument(
            "Invalid Encoding Method specified in Request", "encoding-type", encoding
        )
    return escape


def optional(name: str, text: str, encode: Callable[[str], str]) -> str:
    """An element that is left out when the request did not ask for it."""
    return f"<{name}>{encode(text)}</{name}>" if text else ""


def truth(value: bool) -> str:
    return "true" if value else "false"


async def list_buckets(context: Context, request: Request) -> Answer:
    limit = request.integer("max-buckets", BUCKETS_MAX)
    if not 1 <= limit <= BUCKETS_MAX:
        raise invalid_argument(
            f"Argument max-buckets must be an integer between 1 and {BUCKETS_MAX}.",
            "max-buckets",
            str(limit),
        )
    prefix = request.parameter("prefix")
    identity = request.identity
    buckets, following = await context.objects.list_buckets(
        owner=identity.canonical_user_id,
        prefix=prefix,
        after=_after_token(request),
        limit=limit,
    )
    region = request.parameter("bucket-region")
    paged = "max-buckets" in request.parameters or bool(region)
    rows = [
        f"<Bucket>{element('Name', info.name)}"
        f"<CreationDate>{iso_ms(info.created_ms)}</CreationDate>"
        f"{element('BucketRegion', info.region) if paged else ''}</Bucket>"
        for info in buckets
        if not region or info.region == region
    ]
    tail = element("ContinuationToken", _token(following)) if following else ""
    return xml_answer(
        f'<ListAllMyBucketsResult xmlns="{NAMESPACE}">{owner_element(identity)}'
        f"<Buckets>{''.join(rows)}</Buckets>{tail}{optional('Prefix', prefix, escape)}"
        "</ListAllMyBucketsResult>"
    )


def _token(after: str) -> str:
    return urlsafe_b64encode(b"1" + after.encode()).decode()


def _after_token(request: Request) -> str:
    """The key that a continuation token stands for. Raises InvalidArgument for a foreign one."""
    text = request.parameters.get("continuation-token")
    if text is None:
        return ""
    try:
        token = urlsafe_b64decode(text.encode("ascii")).decode()
    except (Base64Error, ValueError):
        token = ""
    if not token.startswith("1"):
        raise invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", text
        )
    return token[1:]


async def _page(context: Context, request: Request, after: str, limit: int) -> ListPage:
    if limit == 0:
        await context.objects.get_bucket(request.bucket)
        return ListPage([], [], None)
    return await context.objects.list_objects(
        request.bucket,
        prefix=request.parameter("prefix"),
        delimiter=request.parameter("delimiter"),
        after=after,
        limit=limit,
        consistent=is_consistent(request),
    )


def _contents(entries: list[ListEntry], encode: Callable[[str], str], owner: str) -> list[str]:
    rows = []
    for entry in entries:
        checksum = ""
        if entry.checksum_algorithm is not None:
            checksum = (
                f"<ChecksumAlgorithm>{entry.checksum_algorithm}</ChecksumAlgorithm>"
                f"<ChecksumType>{entry.checksum_kind}</ChecksumType>"
            )
        rows.append(
            f"<Contents><Key>{encode(entry.key)}</Key>"
            f"<LastModified>{iso_ms(entry.last_modified_ms)}</LastModified>"
            f"<ETag>&quot;{entry.etag}&quot;</ETag>{checksum}<Size>{entry.size}</Size>"
            f"{owner}<StorageClass>{entry.storage_class}</StorageClass></Contents>"
        )
    return rows


def _prefixes(page: ListPage, encode: Callable[[str], str]) -> list[str]:
    return [
        f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>"
        for prefix in page.common_prefixes
    ]


def _encoding(request: Request) -> str:
    return "<EncodingType>url</EncodingType>" if request.parameter("encoding-type") else ""


def _plain_if_possible(prefix: str, encode: Callable[[str], str]) -> str:
    """Version 1's prefix: botocore, which always asks for `encoding-type=url`, decodes the keys
    and markers of this answer and not its prefix. What XML cannot carry is encoded all the same.
    """
    return escape(prefix) if is_carried(prefix) else encode(prefix)


async def list_objects(context: Context, request: Request) -> Answer:
    """Version 1. NextMarker only with a delimiter: else the last key is the next marker."""
    encode = name_encoder(request)
    limit = request.integer("max-keys", KEYS_MAX, cap=KEYS_MAX)
    marker, delimiter = request.parameter("marker"), request.parameter("delimiter")
    page = await _page(context, request, marker, limit)
    following = page.next_after if delimiter else None
    parts = [
        f'<ListBucketResult xmlns="{NAMESPACE}">',
        element("Name", request.bucket),
        f"<Prefix>{_plain_if_possible(request.parameter('prefix'), encode)}</Prefix>",
        f"<Marker>{encode(marker)}</Marker>",
        optional("NextMarker", following or "", encode),
        f"<MaxKeys>{limit}</MaxKeys>",
        optional("Delimiter", delimiter, encode),
        _encoding(request),
        f"<IsTruncated>{truth(page.next_after is not None)}</IsTruncated>",
        *_contents(page.entries, encode, owner_element(request.identity)),
        *_prefixes(page, encode),
        "</ListBucketResult>",
    ]
    return xml_answer("".join(parts))


async def list_objects_v2(context: Context, request: Request) -> Answer:
    encode = name_encoder(request)
    limit = request.integer("max-keys", KEYS_MAX, cap=KEYS_MAX)
    start_after = request.parameter("start-after")
    token = request.parameters.get("continuation-token")
    if token == "":
        raise invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", ""
        )
    after = start_after if token is None else _after_token(request)
    page = await _page(context, request, after, limit)
    owner = ""
    if request.parameter("fetch-owner").lower() == "true":
        owner = owner_element(request.identity)
    following = _token(page.next_after) if page.next_after is not None else ""
    parts = [
        f'<ListBucketResult xmlns="{NAMESPACE}">',
        element("Name", request.bucket),
        f"<Prefix>{encode(request.parameter('prefix'))}</Prefix>",
        optional("ContinuationToken", token or "", escape),
        optional("NextContinuationToken", following, escape),
        optional("StartAfter", start_after, encode),
        f"<KeyCount>{len(page.entries) + len(page.common_prefixes)}</KeyCount>",
        f"<MaxKeys>{limit}</MaxKeys>",
        optional("Delimiter", request.parameter("delimiter"), encode),
        _encoding(request),
        f"<IsTruncated>{truth(page.next_after is not None)}</IsTruncated>",
        *_contents(page.entries, encode, owner),
        *_prefixes(page, encode),
        "</ListBucketResult>",
    ]
    return xml_answer("".join(parts))


async def list_object_versions(context: Context, request: Request) -> Answer:
    """Of a bucket that never had versioning: each object's only version is `null`."""
    encode = name_encoder(request)
    limit = request.integer("max-keys", KEYS_MAX, cap=KEYS_MAX)
    marker = request.parameter("key-marker")
    version_marker = request.parameter("version-id-marker")
    if version_marker and not marker:
        raise S3Error(
            "InvalidArgument", "A version-id marker cannot be specified without a key marker."
        )
    page = await _page(context, request, marker, limit)
    owner = owner_element(request.identity)
    rows = [
        f"<Version><Key>{encode(entry.key)}</Key><VersionId>null</VersionId>"
        "<IsLatest>true</IsLatest>"
        f"<LastModified>{iso_ms(entry.last_modified_ms)}</LastModified>"
        f"<ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>"
        f"{owner}<StorageClass>{entry.storage_class}</StorageClass></Version>"
        for entry in page.entries
    ]
    following = page.next_after or ""
    # A common prefix that ends a page has no version.
    next_version = following and following not in page.common_prefixes
    parts = [
        f'<ListVersionsResult xmlns="{NAMESPACE}">',
        element("Name", request.bucket),
        f"<Prefix>{encode(request.parameter('prefix'))}</Prefix>",
        f"<KeyMarker>{encode(marker)}</KeyMarker>",
        element("VersionIdMarker", version_marker),
        optional("NextKeyMarker", following, encode),
        "<NextVersionIdMarker>null</NextVersionIdMarker>" if next_version else "",
        f"<MaxKeys>{limit}</MaxKeys>",
        optional("Delimiter", request.parameter("delimiter"), encode),
        _encoding(request),
        f"<IsTruncated>{truth(page.next_after is not None)}</IsTruncated>",
        *rows,
        *_prefixes(page, encode),
        "</ListVersionsResult>",
    ]
    return xml_answer("".join(parts))
