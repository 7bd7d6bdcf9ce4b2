"""Range headers against a slow reading of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.errors import S3Error
from trilith.s3.ranges import parse_copy_range, parse_range


@given(size=st.integers(0, 40), first=st.integers(0, 50), last=st.integers(0, 50) | st.none())
def test_a_range_selects_the_bytes_that_python_would_slice(
    size: int, first: int, last: int | None
) -> None:
    text = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert parse_range(text, size) is None
        return
    positions = range(size)[first : None if last is None else last + 1]
    if not positions:
        with pytest.raises(S3Error, match="InvalidRange"):
            parse_range(text, size)
        return
    assert parse_range(text, size) == (positions[0], positions[-1])


@given(size=st.integers(0, 40), length=st.integers(0, 50))
def test_a_suffix_selects_the_last_bytes(size: int, length: int) -> None:
    text = f"bytes=-{length}"
    if not size or not length:
        with pytest.raises(S3Error, match="InvalidRange"):
            parse_range(text, size)
        return
    positions = range(size)[-length:]
    assert parse_range(text, size) == (positions[0], positions[-1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "items=0-1",
        "bytes=0-1,3-4",
        "bytes=5-2",
        "bytes=--1",
        "bytes= -1",
        "bytes=0 -1",
        "bytes=0- 1",
        "bytes=0x1-2",
        "bytes=\u0661-\u0662",
    ],
)
def test_what_is_not_one_range_is_ignored(text: str) -> None:
    assert parse_range(text, 10) is None


def test_an_unsatisfiable_range_tells_the_size() -> None:
    with pytest.raises(S3Error) as caught:
        parse_range("bytes=10-", 10)
    assert caught.value.status == 416
    assert (b"content-range", b"bytes */10") in caught.value.headers
    assert caught.value.elements["ActualObjectSize"] == 10


def test_a_copy_range_must_lie_in_the_source() -> None:
    assert parse_copy_range("bytes=0-9", 10) == (0, 9)
    for text in ("bytes=0-10", "bytes=0-", "bytes=-5", "0-9", "bytes=5-4"):
        with pytest.raises(S3Error, match="InvalidArgument"):
            parse_copy_range(text, 10)
