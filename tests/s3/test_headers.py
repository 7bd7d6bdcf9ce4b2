"""What writes store and reads show of an object's headers."""

from __future__ import annotations

import pytest

from trilith.objects.types import Checksum, ObjectInfo, ObjectMetadata
from trilith.s3.errors import S3Error
from trilith.s3.headers import (
    checksum_headers,
    hoist_parameters,
    object_headers,
    read_metadata,
)
from trilith.s3.request_head import RequestHead


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead("PUT", b"/b/k", b"", list(headers))


def stored(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """What a GET answers after a PUT with these headers."""
    return dict(object_headers(ObjectInfo("k", b"", 0, "aa", 0, read_metadata(head(*headers)))))


def test_raw_utf8_metadata_is_answered_as_an_encoded_word() -> None:
    answered = stored((b"x-amz-meta-color", "gr\u00fcn".encode()))
    assert answered[b"x-amz-meta-color"] == b"=?UTF-8?B?Z3LDvG4=?="


def test_latin1_metadata_is_taken_for_what_it_looks_like() -> None:
    answered = stored((b"x-amz-meta-color", b"gr\xfcn"))
    assert answered[b"x-amz-meta-color"] == b"=?UTF-8?B?Z3LDvG4=?="


def test_what_only_looks_like_an_encoded_word_is_kept() -> None:
    for value in (b"=?", b"=?x?=", b"=?no-such-code?B?AAAA?=", b"a =? b"):
        assert stored((b"x-amz-meta-m", value))[b"x-amz-meta-m"] == value


def test_a_line_break_inside_an_encoded_word_cannot_get_out() -> None:
    answered = stored((b"x-amz-meta-m", b"=?UTF-8?B?YQ0KYjogYw==?="))
    assert b"\n" not in answered[b"x-amz-meta-m"]


def test_the_transports_own_encoding_is_not_stored() -> None:
    assert b"content-encoding" not in stored((b"content-encoding", b"aws-chunked"))
    assert stored((b"content-encoding", b"aws-chunked,gzip"))[b"content-encoding"] == b"gzip"


def test_the_size_of_metadata_is_names_and_values_without_the_prefix() -> None:
    read_metadata(head((b"x-amz-meta-ab", b"c" * 2046)))
    with pytest.raises(S3Error, match="MetadataTooLarge"):
        read_metadata(head((b"x-amz-meta-ab", b"c" * 2047)))


def test_without_a_content_type_s3s_own_is_answered() -> None:
    assert stored()[b"content-type"] == b"binary/octet-stream"


def test_a_checksum_goes_with_its_type() -> None:
    assert checksum_headers(None) == []
    assert checksum_headers(Checksum("CRC32", "AAAAAA==-2", "COMPOSITE")) == [
        (b"x-amz-checksum-crc32", b"AAAAAA==-2"),
        (b"x-amz-checksum-type", b"COMPOSITE"),
    ]


def test_the_date_is_shown_in_whole_seconds() -> None:
    info = ObjectInfo("k", b"", 0, "aa", 1_700_000_000_999, ObjectMetadata())
    assert dict(object_headers(info))[b"last-modified"] == b"Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize("word", ["=?utf-7?q?+2AA-?=", "=?ut\u00ec-8?q?a?=", "=?unknown?q?a?="])
def test_a_word_that_means_no_text_is_stored_as_it_was_sent(word: str) -> None:
    assert read_metadata(head((b"x-amz-meta-m", word.encode()))).user == {"m": word}


def test_a_presigned_parameter_that_is_no_header_name_is_refused() -> None:
    """Stored as metadata it would make every answer with it a failure."""
    with pytest.raises(S3Error, match="InvalidArgument"):
        hoist_parameters(RequestHead("PUT", b"/b/k", b"x-amz-meta-%0d%0aa=b", []))
