"""Put, get, head and delete objects: bytes, names, metadata, ranges."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .refusals import refused
from .trees import MIB, random_bytes
from .wire import Caller

SIZES = [0, 1, 4096, 16 * 1024, 16 * 1024 + 1, 256 * 1024, MIB + 3, 9 * MIB + 17]
STRANGE_KEYS = [
    "a b+c%2F&=?#;:@$,!*'()~",
    "slashes//in///a/row/",
    "./dots/../kept",
    "/leading",
    "grüße/日本語/🦊",
    "e\u0301 is not \u00e9",
    "percent%20literal%zz",
    "plus+plus and space",
    "<xml>&amp;\"quotes'",
    "back\\slash",
    "k" * 1024,
]


@pytest.mark.parametrize("size", SIZES)
def test_an_object_comes_back_as_it_was_put(s3: Any, bucket: str, size: int) -> None:
    body = random_bytes(size, seed=size)
    put = s3.put_object(Bucket=bucket, Key="o", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="o")
    assert got["Body"].read() == body
    assert got["ContentLength"] == size
    assert got["ETag"] == put["ETag"]
    assert got["AcceptRanges"] == "bytes"
    assert got["ContentType"] == "binary/octet-stream"
    assert abs(got["LastModified"] - datetime.now(UTC)) < timedelta(minutes=5)
    head = s3.head_object(Bucket=bucket, Key="o")
    for field in ("ContentLength", "ETag", "LastModified", "ContentType"):
        assert head[field] == got[field]


@pytest.mark.parametrize("key", STRANGE_KEYS, ids=range(len(STRANGE_KEYS)))
def test_any_key_is_kept_to_the_letter(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listing = s3.list_objects_v2(Bucket=bucket)
    assert [entry["Key"] for entry in listing["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("key", ["k" * 1025, "ü" * 513])
def test_a_key_of_more_than_1024_bytes_is_refused(s3: Any, bucket: str, key: str) -> None:
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    with refused("KeyTooLongError", 400):
        s3.create_multipart_upload(Bucket=bucket, Key=key)


def test_an_overwritten_object_has_the_new_bytes_only(s3: Any, bucket: str) -> None:
    for body in (random_bytes(2 * MIB), b"small", b"", random_bytes(100_000)):
        s3.put_object(Bucket=bucket, Key="o", Body=body, Metadata={"size": str(len(body))})
        got = s3.get_object(Bucket=bucket, Key="o")
        assert got["Body"].read() == body
        assert got["Metadata"] == {"size": str(len(body))}
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_a_deleted_object_is_gone_and_deleting_it_again_succeeds(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    for _ in range(2):
        answer = s3.delete_object(Bucket=bucket, Key="o")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="o")
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="o")


def test_metadata_and_standard_headers_come_back(s3: Any, bucket: str) -> None:
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    headers = {
        "CacheControl": "max-age=60, private",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de-CH",
        "ContentType": "text/plain; charset=utf-8",
    }
    metadata = {"plain": "value", "with-dash": "a  b", "empty": "", "number": "1"}
    s3.put_object(Bucket=bucket, Key="o", Body=b"o", Metadata=metadata, Expires=expires, **headers)
    for answer in (s3.get_object(Bucket=bucket, Key="o"), s3.head_object(Bucket=bucket, Key="o")):
        assert {name: answer[name] for name in headers} == headers
        assert answer["Expires"] == expires
        assert answer["Metadata"].keys() == metadata.keys()
        assert answer["Metadata"]["plain"] == "value"


def test_more_than_2_kib_of_metadata_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"", Metadata={"k": "v" * 2000})
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="o", Body=b"", Metadata={"k": "v" * 2048})


RANGES = [
    ("bytes=0-0", 0, 0),
    ("bytes=5-9", 5, 9),
    ("bytes=100-", 100, -1),
    ("bytes=-7", -7, -1),
    ("bytes=-99999999", 0, -1),
    ("bytes=10-99999999", 10, -1),
]


@pytest.mark.parametrize(("header", "first", "last"), RANGES)
@pytest.mark.parametrize("size", [1000, 3 * MIB + 11])
def test_a_range_is_served_as_206(
    s3: Any, bucket: str, size: int, header: str, first: int, last: int
) -> None:
    body = random_bytes(size, seed=size)
    s3.put_object(Bucket=bucket, Key="o", Body=body)
    first, last = (position + size if position < 0 else position for position in (first, last))
    got = s3.get_object(Bucket=bucket, Key="o", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{last}/{size}"
    assert got["Body"].read() == body[first : last + 1]
    head = s3.head_object(Bucket=bucket, Key="o", Range=header)
    assert head["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert head["ContentLength"] == last - first + 1


def test_ranges_across_a_large_object_agree_with_the_whole(s3: Any, bucket: str) -> None:
    size = 9 * MIB + 5
    body = random_bytes(size, seed=9)
    s3.put_object(Bucket=bucket, Key="o", Body=body)
    step = 700_001
    for first in range(0, size, step):
        last = min(first + step, size) - 1
        got = s3.get_object(Bucket=bucket, Key="o", Range=f"bytes={first}-{last}")
        assert got["Body"].read() == body[first : last + 1]


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(s3: Any, bucket: str, header: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"0123456789")
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="o", Range=header)


@pytest.mark.parametrize("header", ["bytes=9-5", "bytes=a-b", "lines=1-2", "bytes="])
def test_a_malformed_range_is_ignored(s3: Any, bucket: str, header: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="o", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert got["Body"].read() == b"0123456789"


def test_response_headers_can_be_overridden_by_a_signed_query(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o", ContentType="text/plain")
    got = s3.get_object(
        Bucket=bucket,
        Key="o",
        ResponseContentType="application/json",
        ResponseContentDisposition="inline",
        ResponseCacheControl="no-store",
        ResponseContentLanguage="fr",
    )
    assert got["ContentType"] == "application/json"
    assert got["ContentDisposition"] == "inline"
    assert got["CacheControl"] == "no-store"
    assert got["ContentLanguage"] == "fr"


def test_a_connection_is_kept_open_over_many_requests(caller: Caller, bucket: str) -> None:
    with caller.connect() as wire:
        for number in range(20):
            body = random_bytes(number * 1000, seed=number)
            target, headers, _ = caller.sign(
                "PUT", f"/{bucket}/o", headers={"content-length": str(len(body))}
            )
            wire.send_head("PUT", target, headers)
            wire.send(body)
            assert wire.read_answer("PUT").status == 200
            target, headers, _ = caller.sign("GET", f"/{bucket}/o")
            wire.send_head("GET", target, headers)
            assert wire.read_answer("GET").body == body


def test_pipelined_requests_are_answered_in_order(caller: Caller, bucket: str, s3: Any) -> None:
    for number in range(8):
        s3.put_object(Bucket=bucket, Key=str(number), Body=str(number).encode())
    with caller.connect() as wire:
        for number in range(8):
            target, headers, _ = caller.sign("GET", f"/{bucket}/{number}")
            wire.send_head("GET", target, headers)
        bodies = [wire.read_answer("GET").body for _ in range(8)]
    assert bodies == [str(number).encode() for number in range(8)]
