"""Tags of objects and buckets, over HTTP: what is written is read, whatever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead
from trilith.s3.tags import document, document_tags, header_tags

from .local_s3 import MIB, LocalS3, running

TAGS = st.dictionaries(
    st.text("abcXYZ019 +-=._:/@äß", min_size=1, max_size=20),
    st.text("abcXYZ019 +-=._:/@äß", max_size=20),
    max_size=10,
)


def as_sent(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def header_of(raw: bytes) -> dict[str, str]:
    return header_tags(RequestHead("PUT", b"/b/k", b"", [(b"x-amz-tagging", raw)]))


@given(TAGS)
def test_a_document_is_read_as_it_was_written(tags: dict[str, str]) -> None:
    assert document_tags(document(tags).encode()) == tags


@pytest.mark.parametrize("character", ["\t", "\n", "\x1c", "\x7f", "\x85"])
def test_a_tag_has_no_control_characters(character: str) -> None:
    with pytest.raises(S3Error) as caught:
        header_of(b"key=a" + b"".join(b"%%%02x" % byte for byte in character.encode()))
    assert caught.value.code == "InvalidTag"
    reference = f"&#{ord(character)};"
    text = f"<Tagging><TagSet><Tag><Key>a{reference}</Key><Value/></Tag></TagSet></Tagging>"
    with pytest.raises(S3Error) as caught:  # where XML cannot have it at all, MalformedXML
        document_tags(text.encode())
    assert caught.value.code in ("InvalidTag", "MalformedXML")


def test_a_tag_has_spaces_of_all_kinds() -> None:
    assert header_of("a b=\u00a0\u3000\u2028".replace(" ", "+").encode()) == {
        "a b": "\u00a0\u3000\u2028"
    }


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    with running(LocalS3()) as local:
        local.client().create_bucket(Bucket="bucket")
        yield local


@pytest.fixture
def client(s3: LocalS3) -> Any:
    return s3.client()


def tags_of(client: Any, key: str) -> dict[str, str]:
    tag_set = client.get_object_tagging(Bucket="bucket", Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in tag_set}


def put_tags(client: Any, key: str, tags: dict[str, str]) -> None:
    client.put_object_tagging(Bucket="bucket", Key=key, Tagging={"TagSet": as_sent(tags)})


@pytest.mark.parametrize("size", [3, MIB])
def test_tags_change_in_place(client: Any, size: int) -> None:
    client.put_object(Bucket="bucket", Key="o", Body=b"x" * size, Metadata={"a": "b"})
    before = client.head_object(Bucket="bucket", Key="o")
    put_tags(client, "o", {"colour": "blue", "size é": "1/2"})
    assert tags_of(client, "o") == {"colour": "blue", "size é": "1/2"}
    put_tags(client, "o", {"only": ""})
    assert tags_of(client, "o") == {"only": ""}
    after = client.get_object(Bucket="bucket", Key="o")
    assert after["Body"].read() == b"x" * size
    assert after["TagCount"] == 1
    for name in ("ETag", "LastModified", "Metadata", "ContentLength"):
        assert after[name] == before[name]
    client.delete_object_tagging(Bucket="bucket", Key="o")
    assert tags_of(client, "o") == {}
    assert "TagCount" not in client.get_object(Bucket="bucket", Key="o")


def test_a_put_brings_tags_and_replaces_those_before(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="put", Body=b"", Tagging="a=1&b=%C3%A9+x&empty")
    assert tags_of(client, "put") == {"a": "1", "b": "é x", "empty": ""}
    client.put_object(Bucket="bucket", Key="put", Body=b"")
    assert tags_of(client, "put") == {}


def test_a_multipart_upload_brings_tags(client: Any) -> None:
    name = {"Bucket": "bucket", "Key": "parts"}
    upload = {**name, "UploadId": client.create_multipart_upload(**name, Tagging="a=1")["UploadId"]}
    etag = client.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    client.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert tags_of(client, "parts") == {"a": "1"}


def test_a_copy_takes_the_tags_along_unless_it_is_told_others(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="from", Body=b"", Tagging="a=1", Metadata={"m": "1"})
    source = {"Bucket": "bucket", "Key": "from"}
    client.copy_object(Bucket="bucket", Key="to", CopySource=source)
    assert tags_of(client, "to") == {"a": "1"}
    client.copy_object(
        Bucket="bucket", Key="to", CopySource=source, MetadataDirective="REPLACE", Metadata={}
    )
    assert tags_of(client, "to") == {"a": "1"}
    client.copy_object(
        Bucket="bucket", Key="to", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2"
    )
    assert tags_of(client, "to") == {"b": "2"}
    assert client.head_object(Bucket="bucket", Key="to")["Metadata"] == {"m": "1"}


def test_an_object_is_copied_to_itself_when_its_class_is_named(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="self", Body=b"x", Metadata={"m": "1"})
    source = {"Bucket": "bucket", "Key": "self"}
    for change in ({"StorageClass": "STANDARD"}, {"ServerSideEncryption": "AES256"}):
        client.copy_object(Bucket="bucket", Key="self", CopySource=source, **change)
    assert client.head_object(Bucket="bucket", Key="self")["Metadata"] == {"m": "1"}
    with pytest.raises(ClientError, match="InvalidRequest"):
        client.copy_object(Bucket="bucket", Key="self", CopySource=source)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"k{number}": "" for number in range(11)}, "BadRequest"),
        ({"k" * 129: ""}, "InvalidTag"),
        ({"k": "v" * 257}, "InvalidTag"),
        ({"k?": ""}, "InvalidTag"),
        ({"k": "<"}, "InvalidTag"),
        ({"aws:k": ""}, "InvalidTag"),
    ],
)
def test_bad_tags_are_refused_and_change_nothing(
    client: Any, tags: dict[str, str], code: str
) -> None:
    client.put_object(Bucket="bucket", Key="bad", Body=b"", Tagging="a=1")
    with pytest.raises(ClientError) as caught:
        put_tags(client, "bad", tags)
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert tags_of(client, "bad") == {"a": "1"}


def test_a_key_that_comes_twice_is_refused() -> None:
    twice = b"<Tagging><TagSet>" + b"<Tag><Key>a</Key><Value/></Tag>" * 2 + b"</TagSet></Tagging>"
    with pytest.raises(S3Error, match="InvalidTag"):
        document_tags(twice)
    with pytest.raises(S3Error, match="InvalidArgument"):
        header_of(b"a=1&a=2")


@pytest.mark.parametrize("text", [b"=1", b"=", b"key%", b"a=%zz"])
def test_a_header_that_is_no_query_string_is_refused(text: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        header_of(text)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Tagging/>",
        b"<Tagging><TagSet/><TagSet/></Tagging>",
        b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
    ],
)
def test_a_malformed_document_is_refused(body: bytes) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        document_tags(body)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        header_of(b"a=%ff")


@pytest.mark.parametrize("operation", ["get_object_tagging", "delete_object_tagging"])
def test_an_object_that_is_not_there_has_no_tags(client: Any, operation: str) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        getattr(client, operation)(Bucket="bucket", Key="absent")
    with pytest.raises(ClientError, match="NoSuchKey"):
        put_tags(client, "absent", {"a": "1"})


def test_a_bucket_has_tags_of_its_own(client: Any) -> None:
    client.create_bucket(Bucket="tagged")
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        client.get_bucket_tagging(Bucket="tagged")
    tags = as_sent({f"k{number}": "v" for number in range(50)})
    put = client.put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": tags})
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.get_bucket_tagging(Bucket="tagged")["TagSet"] == tags
    client.put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": as_sent({"a": "1"})})
    assert client.get_bucket_tagging(Bucket="tagged")["TagSet"] == as_sent({"a": "1"})
    more = [*tags, {"Key": "one more", "Value": ""}]
    with pytest.raises(ClientError, match="BadRequest"):
        client.put_bucket_tagging(Bucket="tagged", Tagging={"TagSet": more})
    assert client.get_bucket_tagging(Bucket="tagged")["TagSet"] == as_sent({"a": "1"})
    client.delete_bucket_tagging(Bucket="tagged")
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        client.get_bucket_tagging(Bucket="tagged")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.put_bucket_tagging(Bucket="absent", Tagging={"TagSet": tags})


def test_tags_of_a_bucket_outlive_a_deletion_that_was_given_up(client: Any) -> None:
    client.create_bucket(Bucket="kept")
    client.put_bucket_tagging(Bucket="kept", Tagging={"TagSet": as_sent({"a": "1"})})
    client.put_object(Bucket="kept", Key="o", Body=b"")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        client.delete_bucket(Bucket="kept")
    client.put_object(Bucket="kept", Key="other", Body=b"")
    assert client.get_bucket_tagging(Bucket="kept")["TagSet"] == as_sent({"a": "1"})
