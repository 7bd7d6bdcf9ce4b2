"""What an operation answers, before the request's own ids are added."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]

XML_TYPE = (b"content-type", b"application/xml")


class Answer(NamedTuple):
    """`headers` carry content-length. `stream`, when set, yields the body behind `body`."""

    status: int
    headers: Headers
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


def xml_answer(document: str, status: int = 200) -> Answer:
    """An XML document, without its declaration, as S3 sends it."""
    body = XML_DECLARATION + document.encode("utf-8", "replace")
    return Answer(status, [XML_TYPE, (b"content-length", b"%d" % len(body))], body)


def empty_answer(status: int, headers: Headers | None = None) -> Answer:
    """An answer without a body."""
    headers = headers if headers is not None else []
    if status != 204:
        headers.append((b"content-length", b"0"))
    return Answer(status, headers)


XML_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
