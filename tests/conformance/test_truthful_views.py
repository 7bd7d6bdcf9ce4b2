"""Views of what the server does not manage: served only as far as they say the truth.

Clients ask for ACLs, versions and tags in passing. An answer is fine where it is a fact (one owner
with full control, no versions), and the request that would make it untrue is refused.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

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


def test_tags_are_kept(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o", Tagging="a=1&b=2")
    tags = s3.get_object_tagging(Bucket=bucket, Key="o")["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_bucket_tagging", "NoSuchTagSet"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    ],
)
def test_a_bucket_has_no_configuration(s3: Any, bucket: str, operation: str, code: str) -> None:
    with refused(code, 404):
        getattr(s3, operation)(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        getattr(s3, operation)(Bucket="conformance-absent")


def test_what_every_bucket_does_is_said(s3: Any, bucket: str) -> None:
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    by_default = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert by_default == {"SSEAlgorithm": "AES256"}
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    notifications = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert set(notifications) == {"ResponseMetadata"}


def test_no_object_is_locked(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    for operation in (s3.get_object_retention, s3.get_object_legal_hold):
        with refused("InvalidRequest", 400):
            operation(Bucket=bucket, Key="o")
        with refused("NoSuchKey", 404):
            operation(Bucket=bucket, Key="absent")


@pytest.mark.parametrize("what", ["cors", "encryption", "lifecycle", "policy", "tagging"])
def test_to_take_away_what_is_not_there_succeeds(s3: Any, bucket: str, what: str) -> None:
    answer = getattr(s3, f"delete_bucket_{what}")(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
