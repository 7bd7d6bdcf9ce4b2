"""CopyObject."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .refusals import refused
from .trees import MIB, random_bytes


@pytest.mark.parametrize("size", [0, 1000, 100_000, 9 * MIB])
def test_a_copy_has_the_bytes_and_metadata_of_its_source(
    s3: Any, make_bucket: Callable[[], str], size: int
) -> None:
    source, target = make_bucket(), make_bucket()
    body = random_bytes(size, seed=size)
    put = s3.put_object(
        Bucket=source, Key="sö urce+1", Body=body, Metadata={"k": "v"}, ContentType="text/plain"
    )
    copied = s3.copy_object(
        Bucket=target, Key="copy", CopySource={"Bucket": source, "Key": "sö urce+1"}
    )
    assert copied["CopyObjectResult"]["ETag"] == put["ETag"]
    s3.delete_object(Bucket=source, Key="sö urce+1")
    got = s3.get_object(Bucket=target, Key="copy")
    assert got["Body"].read() == body
    assert (got["Metadata"], got["ContentType"]) == ({"k": "v"}, "text/plain")


def test_a_copy_can_replace_the_metadata(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o", Metadata={"old": "1"}, ContentType="a/b")
    s3.copy_object(
        Bucket=bucket,
        Key="o",
        CopySource={"Bucket": bucket, "Key": "o"},
        MetadataDirective="REPLACE",
        Metadata={"new": "2"},
        ContentType="c/d",
    )
    got = s3.get_object(Bucket=bucket, Key="o")
    assert got["Body"].read() == b"o"
    assert (got["Metadata"], got["ContentType"]) == ({"new": "2"}, "c/d")


def test_a_copy_onto_itself_that_changes_nothing_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="o", CopySource={"Bucket": bucket, "Key": "o"})


def test_a_copy_of_something_absent_is_refused(s3: Any, bucket: str) -> None:
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="o", CopySource={"Bucket": bucket, "Key": "absent"})
    with refused("NoSuchBucket", 404):
        s3.copy_object(
            Bucket=bucket, Key="o", CopySource={"Bucket": "conformance-absent", "Key": "o"}
        )


def test_conditions_on_the_source_are_checked(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="o", Body=b"o")["ETag"]
    past, future = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-24, 0))
    source = {"Bucket": bucket, "Key": "o"}
    for failing in (
        {"CopySourceIfMatch": '"0123"'},
        {"CopySourceIfNoneMatch": etag},
        {"CopySourceIfUnmodifiedSince": past},
    ):
        with refused("PreconditionFailed", 412):
            s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **failing)
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="copy")
    for holding in (
        {"CopySourceIfMatch": etag},
        {"CopySourceIfNoneMatch": '"0123"'},
        {"CopySourceIfModifiedSince": past},
        {"CopySourceIfUnmodifiedSince": future + timedelta(seconds=2)},
    ):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **holding)
