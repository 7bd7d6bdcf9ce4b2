"""Buckets, listings and addressing through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import urllib3
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .local_s3 import LocalS3, running


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    with running(LocalS3()) as server:
        yield server


@pytest.fixture(scope="module")
def client(s3: LocalS3) -> Any:
    return s3.client()


def failure(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_the_life_of_a_bucket(client: Any) -> None:
    created = client.create_bucket(Bucket="life")
    assert created["Location"] == "/life"
    head = client.head_bucket(Bucket="life")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"
    assert client.get_bucket_location(Bucket="life")["LocationConstraint"] is None
    assert "Status" not in client.get_bucket_versioning(Bucket="life")
    assert client.get_bucket_acl(Bucket="life")["Grants"][0]["Permission"] == "FULL_CONTROL"
    client.put_object(Bucket="life", Key="k", Body=b"")
    assert failure(client.delete_bucket, Bucket="life") == ("BucketNotEmpty", 409)
    client.delete_object(Bucket="life", Key="k")
    client.delete_bucket(Bucket="life")
    assert failure(client.head_bucket, Bucket="life") == ("404", 404)
    assert failure(client.delete_bucket, Bucket="life") == ("NoSuchBucket", 404)


def test_creating_ones_own_bucket_again_succeeds_in_us_east_1_only(client: Any) -> None:
    client.create_bucket(Bucket="twice")
    client.create_bucket(Bucket="twice")
    with running(LocalS3(region="eu-central-1")) as other:
        elsewhere = other.client()
        here = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
        elsewhere.create_bucket(Bucket="twice", **here)
        again = failure(elsewhere.create_bucket, Bucket="twice", **here)
        assert again == ("BucketAlreadyOwnedByYou", 409)
        location = elsewhere.get_bucket_location(Bucket="twice")
        assert location["LocationConstraint"] == "eu-central-1"


def test_a_bucket_elsewhere_is_refused(client: Any) -> None:
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    code = failure(client.create_bucket, Bucket="elsewhere", **elsewhere)
    assert code == ("IllegalLocationConstraintException", 400)


def test_buckets_are_listed_in_pages(client: Any) -> None:
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        client.create_bucket(Bucket=name)
    pages = client.get_paginator("list_buckets").paginate(
        Prefix="page-", PaginationConfig={"PageSize": 2}
    )
    assert [[one["Name"] for one in page["Buckets"]] for page in pages] == [
        names[0:2],
        names[2:4],
        names[4:5],
    ]


def test_a_bucket_may_be_in_the_host_name(s3: LocalS3, client: Any) -> None:
    client.create_bucket(Bucket="hosted")
    client.put_object(Bucket="hosted", Key="a/b", Body=b"x")
    virtual = s3.client(
        signature_version="s3v4",
        addressing_style="virtual",
        endpoint_url=f"http://localhost:{s3.port}",
    )
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": "hosted", "Key": "a/b"})
    assert url.startswith(f"http://hosted.localhost:{s3.port}/a/b?")
    target = url.partition(str(s3.port))[2]
    answer = urllib3.request(
        "GET",
        s3.endpoint + target,
        headers={"host": f"hosted.localhost:{s3.port}"},
        retries=False,
    )
    assert (answer.status, answer.data) == (200, b"x")


KEYS = sorted(
    ["a", "a/1", "a/2/x", "a/2/y", "a b", "a+b", "b&<>\"'", "c/d/e", "z%2F", "\u00fc/\u00df", "~"],
    key=str.encode,
)


@pytest.fixture(scope="module")
def listed(client: Any) -> str:
    client.create_bucket(Bucket="listed")
    for key in KEYS:
        client.put_object(Bucket="listed", Key=key, Body=key.encode())
    return "listed"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    prefix=st.sampled_from(["", "a", "a/", "a/2", "c/", "none", "\u00fc"]),
    delimiter=st.sampled_from(["", "/", "2", "a"]),
    size=st.integers(1, 4),
    version=st.sampled_from(["list_objects", "list_objects_v2"]),
)
def test_pages_of_a_listing_put_together_are_the_whole(
    client: Any, listed: str, prefix: str, delimiter: str, size: int, version: str
) -> None:
    """Against a slow oracle of the grouping."""
    keys, groups = [], []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        front, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not found:
            keys.append(key)
        elif prefix + front + found not in groups:
            groups.append(prefix + front + found)
    options = {"Bucket": listed, "Prefix": prefix, "Delimiter": delimiter}
    seen_keys, seen_groups = [], []
    pages = client.get_paginator(version).paginate(**options, PaginationConfig={"PageSize": size})
    for page in pages:
        contents, prefixes = page.get("Contents", []), page.get("CommonPrefixes", [])
        assert len(contents) + len(prefixes) <= size
        seen_keys += [one["Key"] for one in contents]
        seen_groups += [one["Prefix"] for one in prefixes]
    assert (seen_keys, seen_groups) == (keys, groups)


def test_a_listing_shows_each_objects_facts(client: Any, listed: str) -> None:
    page = client.list_objects_v2(Bucket=listed, Prefix="a/2/x", FetchOwner=True)
    (entry,) = page["Contents"]
    assert (entry["Size"], entry["StorageClass"]) == (5, "STANDARD")
    assert entry["ETag"] == client.head_object(Bucket=listed, Key="a/2/x")["ETag"]
    assert len(entry["Owner"]["ID"]) == 64
    assert "Owner" not in client.list_objects_v2(Bucket=listed, MaxKeys=1)["Contents"][0]
    assert "Owner" in client.list_objects(Bucket=listed, MaxKeys=1)["Contents"][0]


def test_listing_nothing_is_not_truncated(client: Any, listed: str) -> None:
    for version in (client.list_objects, client.list_objects_v2):
        page = version(Bucket=listed, MaxKeys=0)
        assert (page["IsTruncated"], page["MaxKeys"]) == (False, 0)
        assert "Contents" not in page
    assert failure(client.list_objects_v2, Bucket="no-bucket", MaxKeys=0) == ("NoSuchBucket", 404)


def test_markers_and_bounds(client: Any, listed: str) -> None:
    page = client.list_objects_v2(Bucket=listed, StartAfter="a/2/y")
    assert [one["Key"] for one in page["Contents"]] == KEYS[KEYS.index("a/2/y") + 1 :]
    assert page["StartAfter"] == "a/2/y"
    page = client.list_objects(Bucket=listed, MaxKeys=2)
    assert page["IsTruncated"]
    assert "NextMarker" not in page
    assert client.list_objects_v2(Bucket=listed, MaxKeys=5000)["MaxKeys"] == 1000
    for wrong in ({"MaxKeys": -1}, {"ContinuationToken": "forged"}, {"EncodingType": "other"}):
        code = failure(client.list_objects_v2, Bucket=listed, **wrong)
        assert code == ("InvalidArgument", 400)


def test_a_bucket_without_versioning_lists_null_versions(client: Any, listed: str) -> None:
    page = client.list_object_versions(Bucket=listed, MaxKeys=3)
    assert [one["Key"] for one in page["Versions"]] == KEYS[:3]
    assert {one["VersionId"] for one in page["Versions"]} == {"null"}
    assert all(one["IsLatest"] for one in page["Versions"])
    assert page["NextKeyMarker"] == KEYS[2]


def test_keys_that_xml_cannot_carry_are_listed_url_encoded(client: Any, s3: LocalS3) -> None:
    client.create_bucket(Bucket="control")
    client.put_object(Bucket="control", Key="a\x01b", Body=b"")
    (entry,) = client.list_objects_v2(Bucket="control")["Contents"]
    assert entry["Key"] == "a\x01b"


@pytest.mark.parametrize("subject", ["Analytics", "Inventory", "Metrics"])
def test_what_is_not_served_is_refused_by_its_name(s3: LocalS3, subject: str) -> None:
    operation = f"ListBucket{subject}Configurations"
    signer = s3.client(signature_version="s3v4")
    call = f"list_bucket_{subject.lower()}_configurations"
    url = signer.generate_presigned_url(call, Params={"Bucket": "listed"})
    answer = urllib3.request("GET", url, retries=False)
    assert answer.status == 501
    assert ElementTree.fromstring(answer.data).findtext("Code") == "NotImplemented"
    assert operation.encode() in answer.data


def test_a_document_that_is_too_large_is_not_read(s3: LocalS3) -> None:
    signer = s3.client(signature_version="s3v4")
    url = signer.generate_presigned_url("create_bucket", Params={"Bucket": "too-large"})
    answer = urllib3.request("PUT", url, body=b" " * 70000, retries=False)
    assert b"<Code>MaxMessageLengthExceeded</Code>" in answer.data


def test_a_page_of_buckets_has_at_most_10000(client: Any) -> None:
    assert failure(client.list_buckets, MaxBuckets=10_001) == ("InvalidArgument", 400)
    client.list_buckets(MaxBuckets=10_000)
