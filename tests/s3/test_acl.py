"""Access control lists over HTTP, as AWS answers them where they are disabled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

NOT_SUPPORTED = ("AccessControlListNotSupported", 400)
EVERYBODY = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}


@pytest.fixture(scope="module", autouse=True)
def _an_object(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="o", Body=b"x")


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("asked", [{"ACL": "public-read"}, {"GrantRead": "id=1"}], ids=str)
def test_another_list_than_there_is_is_refused(client: Any, asked: dict[str, str]) -> None:
    name = {"Bucket": "bucket", "Key": "o"}
    assert refusal(client.put_object, **name, Body=b"y", **asked) == NOT_SUPPORTED
    source = {"CopySource": "bucket/o", "MetadataDirective": "REPLACE"}
    assert refusal(client.copy_object, **name, **source, **asked) == NOT_SUPPORTED
    assert refusal(client.create_multipart_upload, **name, **asked) == NOT_SUPPORTED
    assert refusal(client.put_object_acl, **name, **asked) == NOT_SUPPORTED
    assert refusal(client.put_bucket_acl, Bucket="bucket", **asked) == NOT_SUPPORTED
    answer = refusal(client.create_bucket, Bucket="public", **asked)
    assert answer == ("InvalidBucketAclWithObjectOwnership", 400)
    assert client.get_object(**name)["Body"].read() == b"x"
    assert refusal(client.head_bucket, Bucket="public") == ("404", 404)


@pytest.mark.parametrize("acl", ["private", "bucket-owner-full-control"])
def test_the_list_that_there_is_may_be_asked_for(client: Any, acl: str) -> None:
    client.put_object(Bucket="bucket", Key="own", Body=b"x", ACL=acl)
    client.put_object_acl(Bucket="bucket", Key="own", ACL=acl)
    client.put_bucket_acl(Bucket="bucket", ACL="private")
    assert refusal(client.put_bucket_acl, Bucket="absent", ACL="private") == ("NoSuchBucket", 404)
    absent = {"Bucket": "bucket", "Key": "absent"}
    assert refusal(client.put_object_acl, **absent, ACL=acl) == ("NoSuchKey", 404)


def test_a_canned_list_that_does_not_exist_is_an_invalid_argument(client: Any) -> None:
    name = {"Bucket": "bucket", "Key": "o"}
    assert refusal(client.put_object, **name, ACL="bogus") == ("InvalidArgument", 400)


def test_a_policy_may_say_what_is_so(client: Any) -> None:
    name = {"Bucket": "bucket", "Key": "o"}
    policy = client.get_object_acl(**name)
    document = {part: policy[part] for part in ("Owner", "Grants")}
    client.put_object_acl(**name, AccessControlPolicy=document)
    client.put_bucket_acl(Bucket="bucket", AccessControlPolicy=document)
    for grants in ([], [*policy["Grants"], {"Grantee": EVERYBODY, "Permission": "READ"}]):
        other = {**document, "Grants": grants}
        assert refusal(client.put_object_acl, **name, AccessControlPolicy=other) == NOT_SUPPORTED
    read_only = [{**policy["Grants"][0], "Permission": "READ"}]
    other = {**document, "Grants": read_only}
    answer = refusal(client.put_bucket_acl, Bucket="bucket", AccessControlPolicy=other)
    assert answer == NOT_SUPPORTED
    assert refusal(client.put_object_acl, **name) == ("MissingSecurityHeader", 400)


def test_another_ownership_than_the_owner_s_is_not_there(client: Any) -> None:
    create = client.create_bucket
    ownership = {"Bucket": "owned", "ObjectOwnership": "BucketOwnerEnforced"}
    create(**ownership)
    assert refusal(create, **{**ownership, "ObjectOwnership": "ObjectWriter"})[1] == 501
    answer = refusal(create, **{**ownership, "ObjectOwnership": "bogus"})
    assert answer == ("InvalidArgument", 400)
