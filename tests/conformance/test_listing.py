"""ListObjects V1 and V2, DeleteObjects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Server
from .refusals import refused
from .wire import Caller

NAMES = """
a a/ a/1 a/2 a/b/1 a/b/2 a-b b b/c/d/e c//d z/1 z/2 Z ü 日本 \uff5e \U0001f98a a_b a+b a%b
"""
KEYS = sorted((name.replace("_", " ") for name in NAMES.split()), key=str.encode)


@pytest.fixture(scope="module")
def listed(s3: Any) -> Any:
    """A bucket with KEYS, made once for the module."""
    name = "conformance-listing"
    s3.create_bucket(Bucket=name)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    yield name
    for entry in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=entry["Key"])
    s3.delete_bucket(Bucket=name)


def expected(
    prefix: str, delimiter: str, after: str = "", keys: list[str] = KEYS
) -> list[tuple[str, str]]:
    """The listing by definition: ("key" | "prefix", name) in order of appearance."""
    found: list[tuple[str, str]] = []
    for key in keys:
        if not key.startswith(prefix):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        item = ("key", key) if end < 0 else ("prefix", key[: end + len(delimiter)])
        if item not in found and (key if end < 0 else item[1]).encode() > after.encode():
            found.append(item)
    return found


def items_of(page: dict[str, Any]) -> list[tuple[str, str]]:
    items = [("key", entry["Key"]) for entry in page.get("Contents", [])]
    items += [("prefix", entry["Prefix"]) for entry in page.get("CommonPrefixes", [])]
    return items


def ordered(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(items, key=lambda item: item[1].encode())


def walk_v2(s3: Any, bucket: str, **arguments: Any) -> list[tuple[str, str]]:
    """All pages of a V2 listing by continuation token, each checked against its own limits."""
    found: list[tuple[str, str]] = []
    while True:
        page = s3.list_objects_v2(Bucket=bucket, **arguments)
        items = items_of(page)
        assert page["KeyCount"] == len(items) <= page["MaxKeys"]
        found += items
        assert page["IsTruncated"] == ("NextContinuationToken" in page)
        if not page["IsTruncated"]:
            return found
        assert items
        arguments["ContinuationToken"] = page["NextContinuationToken"]


def walk_v1(s3: Any, bucket: str, **arguments: Any) -> list[tuple[str, str]]:
    """All pages of a V1 listing by marker."""
    found: list[tuple[str, str]] = []
    while True:
        page = s3.list_objects(Bucket=bucket, **arguments)
        items = items_of(page)
        found += items
        if not page["IsTruncated"]:
            return found
        arguments["Marker"] = page.get("NextMarker") or items[-1][1]


PREFIXES = ["", "a", "a/", "a/b", "a/b/", "b/c", "c/", "z", "absent", "日"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("delimiter", ["", "/", "b", "//"])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_v2_pages_show_each_key_and_common_prefix_once(
    s3: Any, listed: str, prefix: str, delimiter: str, limit: int
) -> None:
    found = walk_v2(s3, listed, Prefix=prefix, Delimiter=delimiter, MaxKeys=limit)
    assert ordered(found) == ordered(expected(prefix, delimiter))
    assert len(found) == len(set(found))


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_v1_pages_show_each_key_and_common_prefix_once(
    s3: Any, listed: str, prefix: str, delimiter: str, limit: int
) -> None:
    found = walk_v1(s3, listed, Prefix=prefix, Delimiter=delimiter, MaxKeys=limit)
    assert ordered(found) == ordered(expected(prefix, delimiter))


def test_keys_come_in_the_order_of_their_utf8_bytes(s3: Any, listed: str) -> None:
    page = s3.list_objects_v2(Bucket=listed)
    assert [entry["Key"] for entry in page["Contents"]] == KEYS


@pytest.mark.parametrize("after", ["", "a", "a/", "a/b", "a/zzz", "b/c", "日", "\U0001f98b"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_start_after_skips_what_is_not_behind_it(
    s3: Any, listed: str, after: str, delimiter: str
) -> None:
    found = walk_v2(s3, listed, StartAfter=after, Delimiter=delimiter, MaxKeys=2)
    keys_behind = [key for key in KEYS if key.encode() > after.encode()]
    if not delimiter:
        assert found == [("key", key) for key in keys_behind]
    else:
        names = {("key", k) for k in keys_behind if "/" not in k}
        assert {item for item in found if item[0] == "key"} == names
        assert {item for item in found if item[0] == "prefix"} <= set(
            expected("", delimiter, keys=keys_behind)
        )


def test_an_entry_tells_size_etag_and_class(s3: Any, listed: str) -> None:
    page = s3.list_objects_v2(Bucket=listed, Prefix="ü", FetchOwner=True)
    (entry,) = page["Contents"]
    head = s3.head_object(Bucket=listed, Key="ü")
    assert entry["Size"] == len("ü".encode())
    assert entry["ETag"] == head["ETag"]
    assert entry["StorageClass"] == "STANDARD"
    assert abs((entry["LastModified"] - head["LastModified"]).total_seconds()) < 1
    assert entry["Owner"]["ID"]
    assert "Owner" not in s3.list_objects_v2(Bucket=listed, Prefix="ü")["Contents"][0]


def test_a_limit_of_zero_is_an_empty_whole_answer(s3: Any, listed: str) -> None:
    page = s3.list_objects_v2(Bucket=listed, MaxKeys=0)
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)


def test_encoding_type_url_escapes_names_in_the_answer(caller: Caller, listed: str) -> None:
    query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", "a b"), ("delimiter", "/")]
    answer = caller.call("GET", f"/{listed}", query=query)
    assert answer.status == 200
    assert b"<EncodingType>url</EncodingType>" in answer.body
    assert b"<Key>a+b</Key>" in answer.body or b"<Key>a%20b</Key>" in answer.body


def test_without_encoding_type_names_are_plain(caller: Caller, listed: str) -> None:
    answer = caller.call("GET", f"/{listed}", query=[("list-type", "2"), ("prefix", "日")])
    assert "<Key>日本</Key>".encode() in answer.body
    assert b"EncodingType" not in answer.body


@pytest.mark.parametrize(
    "wrong",
    [
        [("max-keys", "-1")],
        [("max-keys", "many")],
        [("list-type", "2"), ("encoding-type", "base64")],
        [("list-type", "2"), ("continuation-token", "!no token!")],
        [("list-type", "2"), ("continuation-token", "")],
    ],
)
def test_a_wrong_listing_argument_is_refused(
    caller: Caller, listed: str, wrong: list[tuple[str, str]]
) -> None:
    answer = caller.call("GET", f"/{listed}", query=wrong)
    assert (answer.status, answer.error_code) == (400, "InvalidArgument")


def test_a_page_holds_at_most_1000(s3: Any, bucket: str) -> None:
    for number in range(1005):
        s3.put_object(Bucket=bucket, Key=f"{number:05d}", Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert page["KeyCount"] == 1000
    assert page["IsTruncated"]
    assert len(walk_v2(s3, bucket)) == 1005
    keys = [{"Key": f"{number:05d}"} for number in range(1005)]
    with refused("MalformedXML", 400):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[:1000]})
    assert len(answer["Deleted"]) == 1000
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 5


def test_deleting_many_tells_of_each_key(s3: Any, bucket: str) -> None:
    for key in ("a", "ü/b", "c&<d>"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    objects = [{"Key": key} for key in ("a", "ü/b", "c&<d>", "absent")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert {entry["Key"] for entry in answer["Deleted"]} == {"a", "ü/b", "c&<d>", "absent"}
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_deleting_many_quietly_tells_nothing(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}], "Quiet": True})
    assert "Deleted" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


SEGMENTS = st.text(alphabet="ab/ü\U0001f98a", min_size=1, max_size=6)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    keys=st.sets(SEGMENTS, min_size=1, max_size=12),
    prefix=st.text(alphabet="ab/", max_size=2),
    limit=st.integers(1, 5),
)
def test_any_listing_agrees_with_its_definition(
    s3: Any, make_bucket: Any, keys: set[str], prefix: str, limit: int
) -> None:
    bucket = make_bucket()
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    in_order = sorted(keys, key=str.encode)
    found = walk_v2(s3, bucket, Prefix=prefix, Delimiter="/", MaxKeys=limit)
    assert ordered(found) == ordered(expected(prefix, "/", keys=in_order))


def test_a_listing_shows_a_write_at_once_through_every_connection(
    server: Server, s3: Any, bucket: str
) -> None:
    """Each connection may lead to another node."""
    others = [server.client() for _ in range(6)]
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"{number:03d}", Body=b"")
        for other in others:
            assert other.list_objects_v2(Bucket=bucket)["KeyCount"] == number + 1
    for number in range(30):
        s3.delete_object(Bucket=bucket, Key=f"{number:03d}")
        for other in others:
            assert other.list_objects_v2(Bucket=bucket)["KeyCount"] == 29 - number
