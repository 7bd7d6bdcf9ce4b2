"""Multipart uploads: create, upload a part, complete, abort, and the two listings."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from trilith.errors import InvalidRequest
from trilith.objects.types import Checksum, CompletedPart, PartInfo, UploadInfo
from trilith.s3.answer import Answer, Headers, empty_answer, xml_answer
from trilith.s3.checksums import (
    ALGORITHMS,
    COMPOSITE,
    DEFAULT_CHECKSUM,
    FULL_OBJECT,
    announced_checksum,
    is_digest,
    multipart_kind,
    parse_algorithm,
    parse_digest,
    parse_kind,
    several_checksums,
)
from trilith.s3.conditions import write_conditions
from trilith.s3.context import Context
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.headers import ENCRYPTED, checksum_headers, read_metadata
from trilith.s3.listing_operations import (
    KEYS_MAX,
    name_encoder,
    optional,
    owner_element,
    truth,
)
from trilith.s3.object_operations import (
    PARTS_MAX,
    check_size,
    checksum_elements,
    part_checksum_element,
    part_number,
)
from trilith.s3.request import Request
from trilith.s3.timestamps import iso_ms
from trilith.s3.upload_checksum import completed_checksum
from trilith.s3.xml import NAMESPACE, child_text, element, escape, parse

# 10,000 parts with the longest checksum each.
COMPLETE_BYTES_MAX = 8 << 20
OBJECT_BYTES_MAX = 5 << 40


async def create_multipart_upload(context: Context, request: Request) -> Answer:
    await request.read_document(0)
    metadata = read_metadata(request.head)
    name = request.header(b"x-amz-checksum-algorithm")
    kind = request.header(b"x-amz-checksum-type")
    algorithm = parse_algorithm(name) if name else None
    if algorithm is None and kind is not None:
        parse_kind(kind)
        raise S3Error(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm "
            "header.",
        )
    kind = multipart_kind(algorithm, kind) if algorithm is not None else None
    upload = await context.objects.create_upload(
        request.bucket,
        request.key,
        metadata,
        checksum_algorithm=algorithm.name if algorithm is not None else None,
        checksum_kind=kind,
    )
    answer = xml_answer(
        f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}">'
        f"{element('Bucket', request.bucket)}{element('Key', request.key)}"
        f"{element('UploadId', upload.upload_id)}</InitiateMultipartUploadResult>"
    )
    headers: Headers = [*answer.headers, ENCRYPTED]
    if algorithm is not None and kind is not None:
        headers.append((b"x-amz-checksum-algorithm", algorithm.name.encode()))
        headers.append((b"x-amz-checksum-type", kind.encode()))
    return answer._replace(headers=headers)


async def upload_part(context: Context, request: Request) -> Answer:
    number = part_number(request)
    upload_id = request.parameter("uploadId")
    upload = await context.objects.get_upload(request.bucket, request.key, upload_id)
    expected = ALGORITHMS.get(upload.checksum_algorithm or "")
    body = request.open_body(
        default_checksum=expected or DEFAULT_CHECKSUM,
        whole_checksum=None if expected is not None else DEFAULT_CHECKSUM,
    )
    _check_algorithm(request, upload)
    request.bytes_in = check_size(body.size)
    part = await context.objects.put_part(
        request.bucket,
        request.key,
        upload_id,
        number,
        body,
        expected_md5=body.expected_md5,
        whole_checksum=body.whole_checksum,
    )
    headers = [(b"etag", b'"%b"' % part.etag.encode()), ENCRYPTED]
    headers += checksum_headers(part.checksum)[:1]
    return empty_answer(200, headers)


def _check_algorithm(request: Request, upload: UploadInfo) -> None:
    """A part announces the upload's checksum algorithm; none will do for a FULL_OBJECT one."""
    expected = upload.checksum_algorithm
    if expected is None:
        return
    announced = announced_checksum(request.head)
    if announced is None and upload.checksum_kind != COMPOSITE:
        return
    actual = announced.algorithm.name.lower() if announced is not None else "null"
    if actual != expected.lower():
        raise S3Error(
            "InvalidRequest",
            "Checksum Type mismatch occurred, expected checksum Type: "
            f"{expected.lower()}, actual checksum Type: {actual}",
        )


async def complete_multipart_upload(context: Context, request: Request) -> Answer:
    conditions = write_conditions(request.head)
    announced = _announced_checksum(request)
    kind = request.header(b"x-amz-checksum-type")
    kind = parse_kind(kind) if kind is not None else None
    expected_size = _expected_size(request)
    body = await request.read_document(COMPLETE_BYTES_MAX)
    parts = _completed_parts(parse(body, "CompleteMultipartUpload"))
    checksum = await completed_checksum(
        context.objects,
        request.bucket,
        request.key,
        request.parameter("uploadId"),
        parts,
        announced,
        kind,
    )
    info = await context.objects.complete_upload(
        request.bucket,
        request.key,
        request.parameter("uploadId"),
        parts,
        conditions=conditions,
        checksum=checksum,
        expected_size=expected_size,
    )
    host = request.header(b"host") or ""
    location = f"{request.scheme}://{host}{request.head.raw_path.decode('latin-1')}"
    answer = xml_answer(
        f'<CompleteMultipartUploadResult xmlns="{NAMESPACE}">{element("Location", location)}'
        f"{element('Bucket', request.bucket)}{element('Key', request.key)}"
        f"<ETag>&quot;{info.etag}&quot;</ETag>{checksum_elements(info)}"
        "</CompleteMultipartUploadResult>"
    )
    return answer._replace(headers=[*answer.headers, ENCRYPTED])


def _announced_checksum(request: Request) -> Checksum | None:
    """The whole object's checksum. Taken out of the headers: it is not the XML body's.

    Raises InvalidRequest for several of them, or one that is none.
    """
    header_map = request.head.header_map
    found = None
    for algorithm in ALGORITHMS.values():
        value = request.header(algorithm.header.encode())
        if value is None:
            continue
        if found is not None:
            raise several_checksums()
        digest, dash, count = value.partition("-")
        parse_digest(algorithm, digest if count.isdecimal() or not dash else "")
        found = Checksum(algorithm.name, value, COMPOSITE if dash else FULL_OBJECT)
        del header_map[algorithm.header.encode()]
    if found is not None:
        header_map.pop(b"x-amz-sdk-checksum-algorithm", None)
    return found


def _expected_size(request: Request) -> int | None:
    text = request.header(b"x-amz-mp-object-size")
    if text is None:
        return None
    if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 15:
        raise S3Error("InvalidRequest", "Value for x-amz-mp-object-size header is invalid.")
    if text.startswith("-"):
        raise S3Error(
            "InvalidRequest", f"Value for x-amz-mp-object-size header is less than zero: '{text}'"
        )
    return int(text)


def _completed_parts(root: Element) -> list[CompletedPart]:
    nodes = root.findall("Part")
    if not 1 <= len(nodes) <= PARTS_MAX:
        raise S3Error("MalformedXML")
    parts = []
    previous = 0
    for node in nodes:
        number_text, etag = child_text(node, "PartNumber"), child_text(node, "ETag")
        if not number_text or not etag or not _INTEGER.fullmatch(number_text):
            raise S3Error("MalformedXML")
        number = int(number_text)
        if number < 1:
            raise invalid_argument("PartNumber must be >= 1", "PartNumber", number_text)
        if number > PARTS_MAX:
            raise invalid_argument(
                "Part number must be an integer between 1 and 10000, inclusive",
                "partNumber",
                number_text,
            )
        if number <= previous:
            raise S3Error("InvalidPartOrder")
        previous = number
        parts.append(CompletedPart(number, etag.strip('"'), _part_checksum(node)))
    return parts


_INTEGER = re.compile("-?[0-9]{1,9}")


def _part_checksum(node: Element) -> Checksum | None:
    found = None
    for child in node:
        algorithm = ALGORITHMS.get(child.tag.removeprefix("Checksum"))
        if not child.tag.startswith("Checksum") or algorithm is None or not child.text:
            continue
        value = child.text.strip()
        if found is not None or not is_digest(algorithm, value):
            raise invalid_argument(
                "Invalid Base64 or multiple checksums present in request", "Checksum", value
            )
        found = Checksum(algorithm.name, value)
    return found


async def abort_multipart_upload(context: Context, request: Request) -> Answer:
    await context.objects.abort_upload(request.bucket, request.key, request.parameter("uploadId"))
    return empty_answer(204)


async def list_parts(context: Context, request: Request) -> Answer:
    encode = name_encoder(request)
    limit = request.integer("max-parts", KEYS_MAX, cap=KEYS_MAX)
    after = request.integer("part-number-marker", 0)
    upload_id = request.parameter("uploadId")
    page = await context.objects.list_parts(
        request.bucket, request.key, upload_id, after=after, limit=max(limit, 1)
    )
    parts = page.parts if limit else []
    following = page.next_after if limit else None
    last = following if following is not None else (parts[-1].number if parts else 0)
    upload = page.upload
    document = [
        f'<ListPartsResult xmlns="{NAMESPACE}">',
        element("Bucket", request.bucket),
        f"<Key>{encode(request.key)}</Key>",
        element("UploadId", upload_id),
        owner_element(request.identity, "Initiator"),
        owner_element(request.identity),
        element("StorageClass", upload.metadata.storage_class),
        f"<PartNumberMarker>{after}</PartNumberMarker>",
        f"<NextPartNumberMarker>{last}</NextPartNumberMarker>",
        f"<MaxParts>{limit}</MaxParts>",
        f"<IsTruncated>{truth(following is not None)}</IsTruncated>",
        _upload_checksum(upload),
        *map(_part_element, parts),
        "</ListPartsResult>",
    ]
    return xml_answer("".join(document))


def _part_element(part: PartInfo) -> str:
    checksum = part_checksum_element(part.checksum)
    return (
        f"<Part><PartNumber>{part.number}</PartNumber>"
        f"<LastModified>{iso_ms(part.last_modified_ms)}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>{checksum}</Part>"
    )


def _upload_checksum(upload: UploadInfo) -> str:
    if upload.checksum_algorithm is None:
        return ""
    return element("ChecksumAlgorithm", upload.checksum_algorithm) + element(
        "ChecksumType", upload.checksum_kind or ""
    )


async def list_multipart_uploads(context: Context, request: Request) -> Answer:
    encode = name_encoder(request)
    limit = request.integer("max-uploads", KEYS_MAX, cap=KEYS_MAX)
    key_marker = request.parameter("key-marker")
    # Without a key marker the upload id marker is ignored (API Reference).
    upload_marker = request.parameter("upload-id-marker") if key_marker else ""
    try:
        page = await context.objects.list_uploads(
            request.bucket,
            prefix=request.parameter("prefix"),
            delimiter=request.parameter("delimiter"),
            after_key=key_marker,
            after_upload_id=upload_marker,
            limit=max(limit, 1),
        )
    except InvalidRequest:
        raise invalid_argument(
            "Invalid uploadId marker", "upload-id-marker", upload_marker
        ) from None
    uploads = page.uploads if limit else []
    prefixes = page.common_prefixes if limit else []
    following = page.next_after if limit else None
    people = owner_element(request.identity, "Initiator") + owner_element(request.identity)
    rows = [
        f"<Upload><Key>{encode(upload.key)}</Key>{element('UploadId', upload.upload_id)}"
        f"{people}{element('StorageClass', upload.metadata.storage_class)}"
        f"<Initiated>{iso_ms(upload.initiated_ms)}</Initiated>{_upload_checksum(upload)}</Upload>"
        for upload in uploads
    ]
    next_key, next_upload = following if following is not None else ("", "")
    document = [
        f'<ListMultipartUploadsResult xmlns="{NAMESPACE}">',
        element("Bucket", request.bucket),
        f"<KeyMarker>{encode(key_marker)}</KeyMarker>",
        element("UploadIdMarker", upload_marker),
        optional("NextKeyMarker", next_key, encode),
        optional("NextUploadIdMarker", next_upload, escape),
        f"<Prefix>{encode(request.parameter('prefix'))}</Prefix>",
        optional("Delimiter", request.parameter("delimiter"), encode),
        "<EncodingType>url</EncodingType>" if request.parameter("encoding-type") else "",
        f"<MaxUploads>{limit}</MaxUploads>",
        f"<IsTruncated>{truth(following is not None)}</IsTruncated>",
        *rows,
        *(
            f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>"
            for prefix in prefixes
        ),
        "</ListMultipartUploadsResult>",
    ]
    return xml_answer("".join(document))
