"""Byte ranges of reads: RFC 9110 §14, as S3 applies it.

S3 serves one range; several, or a header that does not parse, are ignored and the whole object is
answered with 200.
"""

from __future__ import annotations

from trilith.s3.errors import S3Error


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """(first, last) inclusive, or None: ignore the header. Raises InvalidRange (416)."""
    unit, equals, spec = text.partition("=")
    if not equals or unit.strip().lower() != "bytes" or "," in spec:
        return None
    first_text, dash, last_text = spec.partition("-")
    if not dash or not (_is_number(first_text) or not first_text):
        return None
    if not (_is_number(last_text) or not last_text) or not (first_text or last_text):
        return None
    if not first_text:
        length = int(last_text)
        if length == 0 or size == 0:
            raise unsatisfiable(text, size)
        return max(0, size - length), size - 1
    first = int(first_text)
    last = int(last_text) if last_text else size - 1
    if last_text and last < first:
        return None
    if first >= size:
        raise unsatisfiable(text, size)
    return first, min(last, size - 1)


def parse_copy_range(text: str, size: int) -> tuple[int, int]:
    """x-amz-copy-source-range: both ends are needed and must lie in the source."""
    first_text, dash, last_text = text.removeprefix("bytes=").partition("-")
    if (
        not text.startswith("bytes=")
        or not dash
        or not _is_number(first_text)
        or not _is_number(last_text)
        or int(last_text) < int(first_text)
    ):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            elements={"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": text},
        )
    if int(last_text) >= size:
        raise S3Error(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {size}",
            elements={"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": text},
        )
    return int(first_text), int(last_text)


def unsatisfiable(text: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange",
        elements={"RangeRequested": text, "ActualObjectSize": size},
        headers=((b"content-range", b"bytes */%d" % size),),
    )


def content_range(first: int, last: int, size: int) -> bytes:
    return b"bytes %d-%d/%d" % (first, last, size)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19
