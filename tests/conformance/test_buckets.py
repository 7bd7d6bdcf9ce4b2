"""Create, head, list and delete buckets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .refusals import refused
from .wire import Caller


def test_a_created_bucket_is_found_and_listed(s3: Any, bucket: str) -> None:
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    listing = s3.list_buckets()
    (entry,) = [entry for entry in listing["Buckets"] if entry["Name"] == bucket]
    assert abs(entry["CreationDate"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert listing["Owner"]["ID"]


def test_buckets_are_listed_in_order_of_their_names(
    s3: Any, make_bucket: Callable[[], str]
) -> None:
    for _ in range(5):
        make_bucket()
    names = [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert names == sorted(names)


def test_creating_a_bucket_twice_is_no_new_bucket(s3: Any, caller: Caller, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    answer = caller.call("PUT", f"/{bucket}")
    outcome = (answer.status, answer.error_code)
    assert outcome in {(200, ""), (409, "BucketAlreadyOwnedByYou")}  # us-east-1, elsewhere
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "Upper-Case",
        "under_score",
        "-leading",
        "trailing-",
        "two..dots",
        "192.168.5.4",
        "x" * 64,
    ],
)
def test_a_malformed_bucket_name_is_refused(caller: Caller, name: str) -> None:
    answer = caller.call("PUT", f"/{name}")
    assert (answer.status, answer.error_code) == (400, "InvalidBucketName")


def test_an_absent_bucket_is_named_as_such(s3: Any) -> None:
    with refused("404", 404):
        s3.head_bucket(Bucket="conformance-absent")
    with refused("NoSuchBucket", 404):
        s3.delete_bucket(Bucket="conformance-absent")
    with refused("NoSuchBucket", 404):
        s3.list_objects_v2(Bucket="conformance-absent")
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket="conformance-absent", Key="a", Body=b"a")
    with refused("NoSuchBucket", 404):
        s3.get_object(Bucket="conformance-absent", Key="a")
    with refused("NoSuchBucket", 404):
        s3.create_multipart_upload(Bucket="conformance-absent", Key="a")


def test_a_bucket_that_holds_objects_is_not_deleted(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="a")
    s3.delete_bucket(Bucket=bucket)
    with refused("404", 404):
        s3.head_bucket(Bucket=bucket)


def test_a_bucket_made_again_under_the_same_name_is_empty(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    s3.delete_object(Bucket=bucket, Key="old")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="old")


def test_buckets_page_by_prefix_and_token(s3: Any, make_bucket: Callable[[], str]) -> None:
    names = sorted(make_bucket() for _ in range(5))
    seen: list[str] = []
    arguments: dict[str, Any] = {"Prefix": "conformance-", "MaxBuckets": 2}
    while True:
        page = s3.list_buckets(**arguments)
        assert len(page["Buckets"]) <= 2
        seen += [entry["Name"] for entry in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        arguments["ContinuationToken"] = page["ContinuationToken"]
    assert set(names) <= set(seen)
    assert seen == sorted(set(seen))


def test_every_answer_carries_a_request_id(caller: Caller) -> None:
    good, bad = caller.call("GET", "/"), caller.call("GET", "/conformance-absent")
    assert good.headers["x-amz-request-id"] != bad.headers["x-amz-request-id"]
    assert bad.headers["x-amz-request-id"].encode() in bad.body
    assert bad.headers["content-type"] == "application/xml"
