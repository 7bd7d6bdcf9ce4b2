"""Views of what the server does not manage: served only as far as they say the truth.

Clients ask for ACLs, versions and tags in passing. An answer is fine where it is a fact (one owner
with full control, no versions), and the request that would make it untrue is refused.
"""

from __future__ import annotations

import hashlib
from typing import Any

from botocore.exceptions import ClientError

from .refusals import refused
from .trees import random_bytes


def test_the_owner_has_full_control_and_nobody_else_has_any(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    owner = s3.list_buckets()["Owner"]["ID"]
    for answer in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="o")):
        (grant,) = answer["Grants"]
        assert (grant["Grantee"]["ID"], grant["Permission"]) == (owner, "FULL_CONTROL")
    with refused("NoSuchKey", 404):
        s3.get_object_acl(Bucket=bucket, Key="absent")
    with refused("NoSuchBucket", 404):
        s3.get_bucket_acl(Bucket="conformance-absent")


def test_versioning_is_off_and_cannot_be_switched_on(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    with refused("NotImplemented", 501):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_each_object_is_its_own_only_version(s3: Any, bucket: str) -> None:
    for key in ("a", "b/1", "b/2"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"old")
        s3.put_object(Bucket=bucket, Key=key, Body=b"newer")
    s3.delete_object(Bucket=bucket, Key="a")
    listing = s3.list_object_versions(Bucket=bucket)
    versions = [(item["Key"], item["VersionId"], item["IsLatest"]) for item in listing["Versions"]]
    assert versions == [("b/1", "null", True), ("b/2", "null", True)]
    assert "DeleteMarkers" not in listing
    assert [item["Size"] for item in listing["Versions"]] == [5, 5]
    assert s3.get_object(Bucket=bucket, Key="b/1", VersionId="null")["Body"].read() == b"newer"


def test_attributes_are_those_of_the_object(s3: Any, bucket: str) -> None:
    body = random_bytes(100_000)
    s3.put_object(Bucket=bucket, Key="o", Body=body)
    wanted = ["ETag", "ObjectSize", "StorageClass", "Checksum"]
    answer = s3.get_object_attributes(Bucket=bucket, Key="o", ObjectAttributes=wanted)
    assert answer["ETag"] == hashlib.md5(body).hexdigest()
    assert answer["ObjectSize"] == len(body)
    assert answer["StorageClass"] == "STANDARD"


def test_tags_are_kept_or_refused(s3: Any, bucket: str) -> None:
    try:
        s3.put_object(Bucket=bucket, Key="o", Body=b"o", Tagging="a=1&b=2")
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotImplemented":
            raise
        return
    tags = s3.get_object_tagging(Bucket=bucket, Key="o")["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "1"), ("b", "2")]
