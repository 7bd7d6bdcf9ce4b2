"""Get, Head, Put and DeleteObject, and what is read about an object."""

from __future__ import annotations

from trilith.objects.types import Checksum, ObjectInfo, ObjectReader
from trilith.s3 import conditions, ranges
from trilith.s3.acl import acl_answer
from trilith.s3.answer import Answer, Headers, empty_answer, xml_answer
from trilith.s3.checksums import DEFAULT_CHECKSUM
from trilith.s3.context import Context
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.headers import (
    ENCRYPTED,
    checksum_headers,
    object_headers,
    override_headers,
    read_metadata,
)
from trilith.s3.request import Request
from trilith.s3.xml import NAMESPACE, element

OBJECT_BYTES_MAX = 5 << 30  # of one PUT or one part
PARTS_MAX = 10_000
PARTS_PAGE = 1000

_EMPTY_VERSION = "Version id cannot be the empty string"

CONSISTENCY = b"x-trilith-consistency"
_READ_HEADERS = conditions.READ_HEADERS | {
    b"range",
    b"if-range",
    b"x-amz-checksum-mode",
    CONSISTENCY,
}


def check_version(request: Request) -> None:
    """No bucket has versions: the only one of a key is `null`. Raises InvalidArgument."""
    version = request.parameters.get("versionId")
    if version is not None and version != "null":
        what = "Invalid version id specified" if version else _EMPTY_VERSION
        raise invalid_argument(what, "versionId", version)


def is_consistent(request: Request) -> bool:
    """Whether the read must be linearizable (the default) or may be of a cut-off replica."""
    return request.head.header_map.get(CONSISTENCY) != b"eventual"


async def get_object(context: Context, request: Request) -> Answer:
    reader = request.reader
    if reader is None:
        reader = await context.objects.open_object(
            request.bucket, request.key, consistent=is_consistent(request)
        )
    part = await _part_selection(context, request, reader)
    return answer_read(request, reader.info, reader, part)


async def head_object(context: Context, request: Request) -> Answer:
    if "partNumber" in request.parameters:
        return await get_object(context, request)
    info = await context.objects.head_object(
        request.bucket, request.key, consistent=is_consistent(request)
    )
    return answer_read(request, info, None, None)


Part = tuple[int, int, Headers]  # first, last, headers


async def _part_selection(context: Context, request: Request, reader: ObjectReader) -> Part | None:
    """The bytes of `partNumber`. A simple object is its own part 1."""
    if "partNumber" not in request.parameters:
        return None
    if b"range" in request.head.header_map:
        raise S3Error(
            "InvalidRequest", "Cannot specify both Range header and partNumber query parameter"
        )
    number = part_number(request)
    info = reader.info
    if not info.part_sizes_count:
        if number != 1:
            raise S3Error("InvalidPartNumber")
        return 0, info.size - 1, []
    first = 0
    for part in await context.objects.object_parts(reader):
        if part.number == number:
            break
        first += part.size
    else:
        raise S3Error("InvalidPartNumber")
    headers: Headers = [(b"x-amz-mp-parts-count", b"%d" % info.part_sizes_count)]
    if part.checksum is not None and info.checksum is not None and wants_checksum(request):
        headers += checksum_headers(part.checksum)[:1] + checksum_headers(info.checksum)[1:]
    return first, first + part.size - 1, headers


def wants_checksum(request: Request) -> bool:
    return request.head.header_map.get(b"x-amz-checksum-mode", b"").upper() == b"ENABLED"


def part_number(request: Request) -> int:
    """`partNumber`, 1 to 10,000."""
    text = request.parameter("partNumber")
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= PARTS_MAX:
        raise invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", text
        )
    return int(text[:9])


def answer_read(
    request: Request, info: ObjectInfo, reader: ObjectReader | None, part: Part | None
) -> Answer:
    """The answer to a GET, or without `reader` to a HEAD."""
    head = request.head
    headers = object_headers(info)
    size = info.size
    selected: tuple[int, int] | None = None
    if not _READ_HEADERS.isdisjoint(head.header_map):
        conditions.check_read(head, info)
        text = head.header(b"range")
        if text is not None and conditions.range_applies(head, info):
            selected = ranges.parse_range(text, size)
        if wants_checksum(request) and selected is None and part is None:
            headers += checksum_headers(info.checksum)
    if head.query.pairs:
        check_version(request)
        headers = override_headers(request, headers)
    if part is not None:
        headers += part[2]
        if size:
            selected = part[:2]
    status = 200
    first, last = 0, size - 1
    if selected is not None:
        status = 206
        first, last = selected
        headers.append((b"content-range", ranges.content_range(first, last, size)))
    length = last - first + 1
    headers.append((b"content-length", b"%d" % length))
    if reader is None or head.method == "HEAD" or not length:
        return Answer(status, headers)
    request.bytes_out = length
    whole = reader.small_body()
    if whole is not None:
        return Answer(status, headers, whole if length == size else whole[first : last + 1])
    return Answer(status, headers, b"", reader.stream(first, last))


# Of other operations: who sends one has forgotten what makes it theirs, and would overwrite.
_NOT_OF_A_PUT = {
    "partNumber": "This operation does not accept partNumber without uploadId",
    "versionId": "This operation does not accept a version-id.",
}


async def put_object(context: Context, request: Request) -> Answer:
    check_parameters(request)
    metadata = read_metadata(request.head)
    write_conditions = conditions.write_conditions(request.head)
    body = request.open_body(default_checksum=DEFAULT_CHECKSUM)
    request.bytes_in = check_size(body.size)
    info = await context.objects.put_object(
        request.bucket,
        request.key,
        body,
        metadata,
        conditions=write_conditions,
        expected_md5=body.expected_md5,
    )
    headers = [(b"etag", b'"%b"' % info.etag.encode()), ENCRYPTED]
    headers += checksum_headers(info.checksum)
    return empty_answer(200, headers)


def check_parameters(request: Request) -> None:
    """Raises InvalidArgument for what no PUT of an object takes."""
    if not request.head.query.pairs:
        return
    for name, message in _NOT_OF_A_PUT.items():
        if name in request.parameters:
            raise invalid_argument(message, name, request.parameter(name))


def check_size(size: int | None) -> int:
    """Raises MissingContentLength, or EntityTooLarge beyond 5 GiB."""
    if size is None:
        raise S3Error("MissingContentLength")
    if size > OBJECT_BYTES_MAX:
        raise S3Error(
            "EntityTooLarge",
            elements={"ProposedSize": size, "MaxSizeAllowed": OBJECT_BYTES_MAX},
        )
    return size


async def delete_object(context: Context, request: Request) -> Answer:
    check_version(request)
    await context.objects.delete_object(
        request.bucket, request.key, conditions=conditions.write_conditions(request.head)
    )
    return empty_answer(204)


async def get_object_acl(context: Context, request: Request) -> Answer:
    check_version(request)
    await context.objects.head_object(request.bucket, request.key)
    return acl_answer(request)


_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


async def get_object_attributes(context: Context, request: Request) -> Answer:
    check_version(request)
    listed = request.header(b"x-amz-object-attributes") or ""
    wanted = {name.strip() for name in listed.split(",") if name.strip()}
    if not wanted:
        raise S3Error(
            "InvalidRequest",
            "The x-amz-object-attributes header specifying the attributes to be retrieved is "
            "either missing or empty",
        )
    for name in sorted(wanted - _ATTRIBUTES):
        raise invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", name)
    info = await context.objects.head_object(request.bucket, request.key)
    conditions.check_read(request.head, info)
    parts = []
    if "ETag" in wanted:
        parts.append(element("ETag", info.etag))
    if "Checksum" in wanted and info.checksum is not None:
        parts.append(f"<Checksum>{checksum_elements(info)}</Checksum>")
    if "ObjectParts" in wanted and info.part_sizes_count:
        parts.append(await _object_parts(context, request))
    if "StorageClass" in wanted:
        parts.append(element("StorageClass", info.metadata.storage_class))
    if "ObjectSize" in wanted:
        parts.append(f"<ObjectSize>{info.size}</ObjectSize>")
    answer = xml_answer(
        f'<GetObjectAttributesResponse xmlns="{NAMESPACE}">{"".join(parts)}'
        "</GetObjectAttributesResponse>"
    )
    modified = next(h for h in object_headers(info) if h[0] == b"last-modified")
    return answer._replace(headers=[*answer.headers, modified])


async def _object_parts(context: Context, request: Request) -> str:
    """A page of the parts, with their checksums where the object has one."""
    limit = _header_number(request, b"x-amz-max-parts", PARTS_PAGE)
    after = _header_number(request, b"x-amz-part-number-marker", 0)
    reader = await context.objects.open_object(request.bucket, request.key)
    parts = await context.objects.object_parts(reader)
    following = [part for part in parts if part.number > after]
    page = following[: min(limit, PARTS_PAGE)]
    rows = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><Size>{part.size}</Size>"
        f"{part_checksum_element(part.checksum)}</Part>"
        for part in page
    )
    truncated = len(page) < len(following)
    return (
        f"<ObjectParts><PartsCount>{len(parts)}</PartsCount>"
        f"<PartNumberMarker>{after}</PartNumberMarker>"
        f"<NextPartNumberMarker>{page[-1].number if page else 0}</NextPartNumberMarker>"
        f"<MaxParts>{limit}</MaxParts><IsTruncated>{'true' if truncated else 'false'}</IsTruncated>"
        f"{rows}</ObjectParts>"
    )


def _header_number(request: Request, name: bytes, default: int) -> int:
    text = request.header(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise invalid_argument(f"Argument {name.decode()} must be a number", name.decode(), text)
    return int(text)


def part_checksum_element(checksum: Checksum | None) -> str:
    """`<ChecksumX>` of a part, or nothing."""
    return element(f"Checksum{checksum.algorithm}", checksum.value) if checksum is not None else ""


def checksum_elements(info: ObjectInfo) -> str:
    """`<ChecksumX>` and `<ChecksumType>`, or nothing."""
    if info.checksum is None:
        return ""
    return element(f"Checksum{info.checksum.algorithm}", info.checksum.value) + element(
        "ChecksumType", info.checksum.kind
    )
