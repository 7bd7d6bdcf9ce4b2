"""Conditional requests: RFC 9110 §13 in the order that S3 documents."""

from __future__ import annotations

from trilith.objects.types import ObjectInfo, WriteConditions
from trilith.s3.errors import S3Error, not_implemented
from trilith.s3.request_head import RequestHead
from trilith.s3.timestamps import http_date, parse_http_date

READ_HEADERS = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"}
)


def etag_matches(listed: str, etag: str) -> bool:
    """Whether `listed` (`*`, or ETags with or without quotes, weak ones too) holds `etag`."""
    for item in listed.split(","):
        candidate = item.strip()
        if candidate == "*":
            return True
        if candidate.removeprefix("W/").strip('"') == etag:
            return True
    return False


def check_read(head: RequestHead, info: ObjectInfo) -> None:
    """Raises PreconditionFailed (412) or NotModified (304)."""
    _check(head, info, prefix="", not_modified=True)


def check_copy_source(head: RequestHead, info: ObjectInfo) -> None:
    """x-amz-copy-source-if-*: whatever does not hold is 412."""
    _check(head, info, prefix="x-amz-copy-source-", not_modified=False)


def _check(head: RequestHead, info: ObjectInfo, *, prefix: str, not_modified: bool) -> None:
    def header(name: str) -> str | None:
        return head.header((prefix + name).encode())

    modified_s = info.last_modified_ms // 1000
    if_match = header("if-match")
    if if_match is not None:
        if not etag_matches(if_match, info.etag):
            raise _failed("If-Match")
    elif (since := _date(header("if-unmodified-since"))) is not None and modified_s > since:
        raise _failed("If-Unmodified-Since")
    if_none_match = header("if-none-match")
    if if_none_match is not None:
        if etag_matches(if_none_match, info.etag):
            raise _unchanged(info) if not_modified else _failed("If-None-Match")
    elif (since := _date(header("if-modified-since"))) is not None and modified_s <= since:
        raise _unchanged(info) if not_modified else _failed("If-Modified-Since")


def range_applies(head: RequestHead, info: ObjectInfo) -> bool:
    """If-Range: a range of another version is worthless (RFC 9110 §13.1.5)."""
    text = head.header(b"if-range")
    if text is None:
        return True
    if text.startswith('"'):
        return text.strip('"') == info.etag
    return _date(text) == info.last_modified_ms // 1000


def write_conditions(head: RequestHead) -> WriteConditions:
    """If-Match: etag and If-None-Match: *; other forms are refused as S3 refuses them."""
    header_map = head.header_map
    if_match = if_none_match = None
    if b"if-match" in header_map:
        if_match = head.header(b"if-match")
    if b"if-none-match" in header_map:
        if_none_match = head.header(b"if-none-match")
    if if_match is None and if_none_match is None:
        return NO_CONDITIONS
    if if_none_match is not None and if_none_match.strip() != "*":
        raise not_implemented("If-None-Match")
    if if_match is not None and if_none_match is not None:
        raise not_implemented("If-Match with If-None-Match")
    if if_match is None:
        return WriteConditions(if_none_match_any=True)
    if "," in if_match or if_match.strip().startswith("W/"):
        raise not_implemented("If-Match")
    return WriteConditions(if_match=if_match.strip().strip('"'))


NO_CONDITIONS = WriteConditions()


def _date(text: str | None) -> int | None:
    return None if text is None else parse_http_date(text)


def _failed(condition: str) -> S3Error:
    return S3Error("PreconditionFailed", elements={"Condition": condition})


def _unchanged(info: ObjectInfo) -> S3Error:
    return S3Error(
        "NotModified",
        headers=(
            (b"etag", b'"%b"' % info.etag.encode()),
            (b"last-modified", http_date(info.last_modified_ms // 1000)),
        ),
    )
