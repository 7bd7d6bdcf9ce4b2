"""Every operation of botocore's service model is either served or refused by name.

A request that is not understood must never look like a success: `PUT ?versioning` answered as
CreateBucket, or `PUT ?tagging` stored as an object, would lose data silently.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import botocore.session
import pytest

from .refusals import refused
from .wire import Caller

SERVED = {
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteBucketTagging",
    "DeleteObject",
    "DeleteObjectTagging",
    "DeleteObjects",
    "GetBucketLocation",
    "GetBucketTagging",
    "GetObject",
    "GetObjectTagging",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjects",
    "ListObjectsV2",
    "ListParts",
    "PutBucketTagging",
    "PutObject",
    "PutObjectTagging",
    "UploadPart",
    "UploadPartCopy",
}
# Views that clients ask for, the removal of what is not there, and what may be put as it is;
# test_truthful_views proves that what they say is so.
VIEWS = {
    "DeleteBucketCors",
    "DeleteBucketEncryption",
    "DeleteBucketLifecycle",
    "DeleteBucketPolicy",
    "DeleteBucketReplication",
    "DeleteBucketWebsite",
    "DeletePublicAccessBlock",
    "GetBucketAccelerateConfiguration",
    "GetBucketAcl",
    "GetBucketCors",
    "GetBucketEncryption",
    "GetBucketLifecycle",
    "GetBucketLifecycleConfiguration",
    "GetBucketLogging",
    "GetBucketNotification",
    "GetBucketNotificationConfiguration",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketReplication",
    "GetBucketRequestPayment",
    "GetBucketVersioning",
    "GetBucketWebsite",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectLockConfiguration",
    "GetObjectRetention",
    "GetPublicAccessBlock",
    "ListObjectVersions",
    "PutBucketAcl",
    "PutBucketCors",
    "PutBucketEncryption",
    "PutBucketLogging",
    "PutBucketNotification",
    "PutBucketNotificationConfiguration",
    "PutBucketOwnershipControls",
    "PutBucketRequestPayment",
    "PutObjectAcl",
    "PutPublicAccessBlock",
}
# Requests that are others on the wire: `GET /`, and Object Lambda's own host name.
ELSEWHERE = {"ListDirectoryBuckets", "WriteGetObjectResponse"}
MODEL = botocore.session.get_session().get_service_model("s3")
OTHERS = sorted(set(MODEL.operation_names) - SERVED - VIEWS - ELSEWHERE)


def request_of(
    operation: str, bucket: str
) -> tuple[str, str, list[tuple[str, str]], dict[str, str]]:
    """Method, path, query and headers with a value in each required place."""
    model = MODEL.operation_model(operation)
    uri = model.http["requestUri"].replace("{Bucket}", bucket).replace("{Key+}", "o")
    path, _, fixed = uri.partition("?")
    query, headers = parse_qsl(fixed, keep_blank_values=True), {}
    shape = model.input_shape
    for name, member in shape.members.items() if shape else ():
        if name not in shape.required_members:
            continue
        place, wire_name = member.serialization.get("location"), member.serialization.get("name")
        if place == "querystring":
            query.append((wire_name, "1"))
        elif place == "header":
            headers[wire_name.lower()] = "1"
    return model.http["method"], path, query, headers


@pytest.mark.parametrize("operation", OTHERS)
def test_an_operation_that_is_not_served_says_so(
    caller: Caller, s3: Any, bucket: str, operation: str
) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"kept")
    method, path, query, headers = request_of(operation, bucket)
    answer = caller.call(method, path, query=query, headers=headers)
    assert answer.status == 501, answer
    if method != "HEAD":
        assert answer.error_code == "NotImplemented"
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"kept"


SSE_C = {
    "x-amz-server-side-encryption-customer-algorithm": "AES256",
    "x-amz-server-side-encryption-customer-key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "x-amz-server-side-encryption-customer-key-md5": "hRasmdxgYDKV3nvbahU1MA==",
}


@pytest.mark.parametrize(
    "headers",
    [
        SSE_C,
        {"x-amz-server-side-encryption": "aws:kms"},
        {"x-amz-object-lock-mode": "COMPLIANCE"},
        {"x-amz-object-lock-legal-hold": "ON"},
        {"x-amz-website-redirect-location": "/elsewhere"},
        {"x-amz-write-offset-bytes": "4"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_a_promise_that_is_not_kept_is_not_given(
    caller: Caller, bucket: str, headers: dict[str, str]
) -> None:
    """Headers that ask for encryption, locks or access rules must not be dropped silently."""
    answer = caller.call("PUT", f"/{bucket}/o", headers=headers, body=b"o")
    assert (answer.status, answer.error_code) == (501, "NotImplemented")
    assert caller.call("GET", f"/{bucket}/o").status == 404


@pytest.mark.parametrize("headers", [{"x-amz-acl": "public-read"}, {"x-amz-grant-read": "id=1"}])
def test_an_access_control_list_is_refused_as_where_they_are_disabled(
    caller: Caller, bucket: str, headers: dict[str, str]
) -> None:
    answer = caller.call("PUT", f"/{bucket}/o", headers=headers, body=b"o")
    assert (answer.status, answer.error_code) == (400, "AccessControlListNotSupported")
    assert caller.call("GET", f"/{bucket}/o").status == 404


def test_a_version_that_cannot_exist_is_no_version(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="o", Body=b"o")
    for operation in (s3.get_object, s3.delete_object):
        with refused("InvalidArgument", 400):
            operation(Bucket=bucket, Key="o", VersionId="3HL4kqtJlcpXroDTDmJ")
    s3.head_object(Bucket=bucket, Key="o")


def test_an_unknown_subresource_is_refused(caller: Caller, s3: Any, bucket: str) -> None:
    """A query parameter without a value that is no parameter of the operation names another one."""
    for method, path in (("GET", f"/{bucket}"), ("PUT", f"/{bucket}/o"), ("GET", f"/{bucket}/o")):
        answer = caller.call(method, path, query=[("metadataTable", "")])
        assert (answer.status, answer.error_code) == (501, "NotImplemented")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
