"""Headers of objects: what a write stores, what a read answers, what nobody may ask for.

Every header of the served operations in S3's service model is either acted upon, harmless to
ignore, or refused with 501 by name (`refuse_unsupported`; a test compares with the model).
"""

from __future__ import annotations

from email.errors import MessageError
from email.header import decode_header, make_header

from trilith.objects.types import Checksum, ObjectInfo, ObjectMetadata
from trilith.s3 import acl
from trilith.s3.answer import Headers
from trilith.s3.checksums import ALGORITHMS
from trilith.s3.errors import S3Error, invalid_argument, not_implemented
from trilith.s3.request import Request
from trilith.s3.request_body import stored_content_encoding
from trilith.s3.request_head import RequestHead
from trilith.s3.sigv2 import HEADER_PARAMETERS
from trilith.s3.tags import HEADER as TAGGING
from trilith.s3.tags import header_tags
from trilith.s3.timestamps import http_date

USER_METADATA_BYTES_MAX = 2048
DEFAULT_CONTENT_TYPE = b"binary/octet-stream"
ENCRYPTED = (b"x-amz-server-side-encryption", b"AES256")
ACCEPT_RANGES = (b"accept-ranges", b"bytes")

_STANDARD = (
    b"cache-control",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-type",
    b"expires",
)
_META = b"x-amz-meta-"

# Refused whatever their value.
_UNSUPPORTED = frozenset(
    {
        b"x-amz-bucket-namespace",
        b"x-amz-copy-source-server-side-encryption-customer-algorithm",
        b"x-amz-copy-source-server-side-encryption-customer-key",
        b"x-amz-copy-source-server-side-encryption-customer-key-md5",
        b"x-amz-if-match-initiated-time",
        b"x-amz-if-match-last-modified-time",
        b"x-amz-if-match-size",
        b"x-amz-mfa",
        b"x-amz-object-lock-event-hold",
        b"x-amz-object-lock-event-hold-duration-days",
        b"x-amz-object-lock-event-hold-duration-years",
        b"x-amz-object-lock-legal-hold",
        b"x-amz-object-lock-mode",
        b"x-amz-object-lock-retain-until-date",
        b"x-amz-server-side-encryption-aws-kms-key-id",
        b"x-amz-server-side-encryption-context",
        b"x-amz-server-side-encryption-customer-algorithm",
        b"x-amz-server-side-encryption-customer-key",
        b"x-amz-server-side-encryption-customer-key-md5",
        b"x-amz-website-redirect-location",
        b"x-amz-write-offset-bytes",
    }
)
OWNERSHIP = b"x-amz-object-ownership"
_OTHER_OWNERSHIPS = frozenset({b"BucketOwnerPreferred", b"ObjectWriter"})
# Accepted with these values only: they ask for what is the case anyway.
_SUPPORTED_VALUES: dict[bytes, frozenset[bytes]] = {
    # No object has annotations.
    b"x-amz-object-annotation-directive": frozenset({b"COPY", b"EXCLUDE"}),
    # No object is retained, so that there is nothing to bypass.
    b"x-amz-bypass-governance-retention": frozenset({b"true", b"True", b"false", b"False"}),
    b"x-amz-bucket-object-lock-enabled": frozenset({b"false", b"False"}),
    OWNERSHIP: frozenset({b"BucketOwnerEnforced"}),
    b"x-amz-server-side-encryption": frozenset({b"AES256"}),
    b"x-amz-server-side-encryption-bucket-key-enabled": frozenset({b"false", b"False"}),
}
_STORAGE_CLASS = b"x-amz-storage-class"
STANDARD = "STANDARD"
# Kept as labels: each is answered at once, and everything is stored as STANDARD is.
_LABELS = frozenset(
    {
        b"GLACIER_IR",
        b"INTELLIGENT_TIERING",
        b"ONEZONE_IA",
        b"REDUCED_REDUNDANCY",
        b"STANDARD",
        b"STANDARD_IA",
    }
)
_OTHER_STORAGE_CLASSES = frozenset(
    {
        b"DEEP_ARCHIVE",
        b"EXPRESS_ONEZONE",
        b"FSX_ONTAP",
        b"FSX_OPENZFS",
        b"GLACIER",
        b"OUTPOSTS",
        b"SNOW",
    }
)
_EXPECTED_OWNERS = (b"x-amz-expected-bucket-owner", b"x-amz-source-expected-bucket-owner")
SCREENED = (
    _UNSUPPORTED | acl.HEADERS | frozenset({*_SUPPORTED_VALUES, _STORAGE_CLASS, *_EXPECTED_OWNERS})
)


def refuse_unsupported(request: Request) -> None:
    """Raises NotImplemented, naming the header, for what this store does not do."""
    header_map = request.head.header_map
    if SCREENED.isdisjoint(header_map):
        return
    acl.check_headers(request)
    for name, value in header_map.items():
        if name in _UNSUPPORTED:
            raise not_implemented(name.decode())
        supported = _SUPPORTED_VALUES.get(name)
        if supported is not None and value not in supported:
            if name == OWNERSHIP and value not in _OTHER_OWNERSHIPS:
                shown = value.decode("latin-1")
                raise S3Error(
                    "InvalidArgument",
                    f"Invalid x-amz-object-ownership header: {shown}",
                    elements={"ArgumentName": name.decode()},
                )
            raise not_implemented(name.decode())
        if name == _STORAGE_CLASS and value not in _LABELS:
            if value in _OTHER_STORAGE_CLASSES:
                raise not_implemented(name.decode())
            raise S3Error(
                "InvalidStorageClass",
                elements={"StorageClassRequested": value.decode("latin-1")},
            )
        if name in _EXPECTED_OWNERS and value.decode("latin-1") != request.identity.account_id:
            raise S3Error("AccessDenied")


def hoist_parameters(head: RequestHead) -> None:
    """Presigned URLs may carry x-amz-* headers as signed parameters; a sent header wins.

    Those of Signature Version 2 also Content-Type and Content-MD5. A body's checksum is ignored,
    as AWS does: the JavaScript SDK presigns uploads with that of no bytes, for want of the body.
    Raises InvalidArgument for a name that no header can have.
    """
    version_2 = any(name == "AWSAccessKeyId" for name, _ in head.query.pairs)
    for name, value in head.query.pairs:
        if name in _SENT_BY_SIGNERS:
            continue
        lower = name.lower()
        if version_2 and lower in HEADER_PARAMETERS:
            head.header_map.setdefault(lower.encode(), value.encode())
        if lower.startswith("x-amz-") and lower not in _NO_HEADERS:
            if not _HEADER_NAME.issuperset(lower):
                # Stored as metadata it could never leave again: no answer can carry such a header.
                raise invalid_argument("The parameter is no header name", "ArgumentName", name)
            head.header_map.setdefault(lower.encode("utf-8", "replace"), value.encode())


_NO_HEADERS = frozenset(
    {
        "x-amz-sdk-checksum-algorithm",
        *(algorithm.header for algorithm in ALGORITHMS.values()),
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    }
)


# RFC 9110 §5.6.2, in lower case.
_HEADER_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
_SENT_BY_SIGNERS = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    }
)


def read_metadata(head: RequestHead) -> ObjectMetadata:
    """What a write stores beside the bytes. Raises MetadataTooLarge, and what tags.py does."""
    header_map = head.header_map
    headers: dict[str, str] = {}
    user: dict[str, str] = {}
    for name in _STANDARD:
        if name in header_map:
            value = head.header(name) or ""
            if name == b"content-encoding":
                value = stored_content_encoding(value) or ""
            if value:
                headers[name.decode()] = value
    size = 0
    for name in header_map:
        if name[:11] == _META:
            text = _decode_words(head.header(name) or "")
            user[name[11:].decode("latin-1")] = text
            size += len(name) - 11 + len(text.encode())
    if size > USER_METADATA_BYTES_MAX:
        raise S3Error(
            "MetadataTooLarge",
            elements={"Size": size, "MaxSizeAllowed": USER_METADATA_BYTES_MAX},
        )
    tags = header_tags(head) if TAGGING in header_map else {}
    storage_class = storage_class_of(head)
    if not (headers or user or tags) and storage_class == STANDARD:
        return NO_METADATA
    return ObjectMetadata(headers, user, storage_class, tags)


def storage_class_of(head: RequestHead) -> str:
    """The class that a write asks for; `refuse_unsupported` has let it pass."""
    return head.header(_STORAGE_CLASS) or STANDARD


NO_METADATA = ObjectMetadata()


def _decode_words(text: str) -> str:
    """RFC 2047 encoded words decoded, as S3 stores metadata; what is none stays as it is."""
    if "=?" not in text:
        return text
    try:
        decoded = str(make_header(decode_header(text)))
        decoded.encode()  # some charsets (UTF-7) can say half a surrogate pair
    except (MessageError, LookupError, ValueError):
        return text
    return decoded


def _encode_words(text: str) -> bytes:
    """Metadata as a header value: RFC 2047 unless it is printable US-ASCII."""
    if text.isascii() and text.isprintable():
        return text.encode()
    from base64 import b64encode

    return b"=?UTF-8?B?" + b64encode(text.encode()) + b"?="


def object_headers(info: ObjectInfo) -> Headers:
    """The headers of a GET or HEAD that do not depend on the range asked for."""
    headers: Headers = [
        (b"last-modified", http_date(info.last_modified_ms // 1000)),
        (b"etag", b'"%b"' % info.etag.encode()),
        ACCEPT_RANGES,
        ENCRYPTED,
    ]
    metadata = info.metadata
    stored = metadata.headers
    if "content-type" not in stored:
        headers.append((b"content-type", DEFAULT_CONTENT_TYPE))
    for name, value in stored.items():
        headers.append((name.encode(), value.encode()))
    for name, value in metadata.user.items():
        headers.append((_META + name.encode("latin-1"), _encode_words(value)))
    if metadata.storage_class != STANDARD:
        headers.append((_STORAGE_CLASS, metadata.storage_class.encode()))
    if metadata.tags:
        headers.append((b"x-amz-tagging-count", b"%d" % len(metadata.tags)))
    return headers


_OVERRIDES = {
    "response-cache-control": b"cache-control",
    "response-content-disposition": b"content-disposition",
    "response-content-encoding": b"content-encoding",
    "response-content-language": b"content-language",
    "response-content-type": b"content-type",
    "response-expires": b"expires",
}


def override_headers(request: Request, headers: Headers) -> Headers:
    """`response-*` parameters take the place of what is stored."""
    overrides = {
        _OVERRIDES[name]: value for name, value in request.head.query.pairs if name in _OVERRIDES
    }
    if not overrides:
        return headers
    kept = [header for header in headers if header[0] not in overrides]
    for name, value in overrides.items():
        if not value.isprintable():
            raise S3Error(
                "InvalidArgument",
                "The response header value is not valid",
                elements={"ArgumentName": f"response-{name.decode()}"},
            )
        kept.append((name, value.encode()))
    return kept


def checksum_headers(checksum: Checksum | None) -> Headers:
    """The stored checksum with its type."""
    if checksum is None:
        return []
    name = f"x-amz-checksum-{checksum.algorithm.lower()}".encode()
    return [
        (name, checksum.value.encode()),
        (b"x-amz-checksum-type", checksum.kind.encode()),
    ]
