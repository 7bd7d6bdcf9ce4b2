"""Conditions of reads and writes, in the order that RFC 9110 §13.2.2 gives them."""

from __future__ import annotations

import pytest

from trilith.objects.types import ObjectInfo, ObjectMetadata, WriteConditions
from trilith.s3.conditions import check_copy_source, check_read, range_applies, write_conditions
from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead

MODIFIED_S = 1_700_000_000
BEFORE, SAME, AFTER = (
    "Tue, 14 Nov 2023 22:13:19 GMT",
    "Tue, 14 Nov 2023 22:13:20 GMT",
    "Tue, 14 Nov 2023 22:13:21 GMT",
)
INFO = ObjectInfo("k", b"", 3, "aa", MODIFIED_S * 1000 + 500, ObjectMetadata())


def head(prefix: str = "", **headers: str) -> RequestHead:
    pairs = [
        ((prefix + name.replace("_", "-")).encode(), value.encode())
        for name, value in headers.items()
    ]
    return RequestHead("GET", b"/b/k", b"", pairs)


def status_of_read(**headers: str) -> int:
    try:
        check_read(head(**headers), INFO)
    except S3Error as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_match": '"aa"'}, 200),
        ({"if_match": "aa"}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": '"bb", "aa"'}, 200),
        ({"if_match": '"bb"'}, 412),
        ({"if_none_match": '"aa"'}, 304),
        ({"if_none_match": 'W/"aa"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"bb"'}, 200),
        ({"if_modified_since": BEFORE}, 200),
        ({"if_modified_since": SAME}, 304),
        ({"if_modified_since": AFTER}, 304),
        ({"if_unmodified_since": BEFORE}, 412),
        ({"if_unmodified_since": SAME}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_unmodified_since": "yesterday"}, 200),
        # If-Match makes If-Unmodified-Since moot, If-None-Match makes If-Modified-Since moot.
        ({"if_match": '"aa"', "if_unmodified_since": BEFORE}, 200),
        ({"if_none_match": '"bb"', "if_modified_since": AFTER}, 200),
        ({"if_match": '"bb"', "if_none_match": '"aa"'}, 412),
        ({"if_match": '"aa"', "if_none_match": '"aa"'}, 304),
    ],
)
def test_a_read_obeys_its_conditions(headers: dict[str, str], status: int) -> None:
    assert status_of_read(**headers) == status


def test_an_unchanged_answer_names_the_version() -> None:
    with pytest.raises(S3Error) as caught:
        check_read(head(if_none_match='"aa"'), INFO)
    assert dict(caught.value.headers) == {b"etag": b'"aa"', b"last-modified": SAME.encode()}


def test_whatever_fails_of_a_copy_source_is_a_failed_precondition() -> None:
    prefix = "x-amz-copy-source-"
    check_copy_source(head(prefix, if_match="aa"), INFO)
    for headers in ({"if_none_match": "aa"}, {"if_modified_since": AFTER}, {"if_match": "b"}):
        with pytest.raises(S3Error) as caught:
            check_copy_source(head(prefix, **headers), INFO)
        assert caught.value.status == 412


def test_a_write_may_demand_absence_or_a_version() -> None:
    assert write_conditions(head()) == WriteConditions()
    assert write_conditions(head(if_none_match="*")) == WriteConditions(if_none_match_any=True)
    assert write_conditions(head(if_match='"aa"')) == WriteConditions(if_match="aa")


@pytest.mark.parametrize(
    "headers",
    [
        {"if_none_match": '"aa"'},
        {"if_match": '"aa", "bb"'},
        {"if_match": "aa", "if_none_match": "*"},
    ],
)
def test_other_conditions_of_writes_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error, match="NotImplemented"):
        write_conditions(head(**headers))


def test_a_range_of_another_version_is_not_served() -> None:
    assert range_applies(head(if_range='"aa"'), INFO)
    assert range_applies(head(if_range=SAME), INFO)
    assert not range_applies(head(if_range='"bb"'), INFO)
    assert not range_applies(head(if_range=AFTER), INFO)
