"""Objects through boto3 and bare requests, against the edge and the object service."""

from __future__ import annotations

import hashlib
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from trilith.config import Limits

from .local_s3 import ACCESS_KEY, SECRET_KEY, LocalS3, running

MIB = 1 << 20


@pytest.fixture(scope="module")
def s3() -> Iterator[LocalS3]:
    with running(LocalS3()) as server:
        server.client().create_bucket(Bucket="bucket")
        yield server


@pytest.fixture(scope="module")
def client(s3: LocalS3) -> Any:
    return s3.client()


def send(
    s3: LocalS3,
    method: str,
    target: str,
    headers: dict[str, Any] | None = None,
    body: bytes = b"",
) -> urllib3.BaseHTTPResponse:
    """A request with exactly these headers, signed."""
    request = AWSRequest(method, s3.endpoint + target, headers=headers or {}, data=body)
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", s3.region).add_auth(request)
    signed = dict(request.headers.items())
    return urllib3.request(method, s3.endpoint + target, headers=signed, body=body, retries=False)


def failure(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("size", [0, 1, 5000, 16384, 16385, 3 * MIB + 7])
def test_an_object_of_any_size_comes_back(client: Any, size: int) -> None:
    body = bytes(index % 251 for index in range(size))
    put = client.put_object(Bucket="bucket", Key=f"size/{size}", Body=body)
    got = client.get_object(Bucket="bucket", Key=f"size/{size}")
    assert got["Body"].read() == body
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert got["ContentLength"] == size


@pytest.mark.parametrize("size", [1000, 2 * MIB])
@pytest.mark.parametrize("span", ["bytes=0-0", "bytes=10-99", "bytes=-5", "bytes=990-"])
def test_a_range_is_a_slice(client: Any, size: int, span: str) -> None:
    body = bytes(index % 251 for index in range(size))
    client.put_object(Bucket="bucket", Key="ranged", Body=body)
    got = client.get_object(Bucket="bucket", Key="ranged", Range=span)
    first, _, last = span[6:].partition("-")
    expected = body[int(first) : int(last) + 1 if last else None] if first else body[-int(last) :]
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == expected
    start = body.find(expected) if first == "" else int(first)
    start = size - len(expected) if first == "" else start
    assert got["ContentRange"] == f"bytes {start}-{start + len(expected) - 1}/{size}"
    head = client.head_object(Bucket="bucket", Key="ranged", Range=span)
    assert (head["ContentRange"], head["ContentLength"]) == (got["ContentRange"], len(expected))


def test_an_empty_body_that_expects_a_100_gets_one(s3: LocalS3) -> None:
    """botocore misreads the next answer on a connection where the 100 was left out."""
    client = s3.client(signature_version="s3v4")
    url = client.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "empty"})
    target = url.removeprefix(s3.endpoint)
    request = f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{s3.port}\r\n"
    request += "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", s3.port), timeout=60) as connection:
        connection.sendall(request.encode())
        while b"content-length:" not in answer:
            answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_an_unsatisfiable_range_says_how_much_there_is(s3: LocalS3, client: Any) -> None:
    client.put_object(Bucket="bucket", Key="short", Body=b"abc")
    answer = send(s3, "GET", "/bucket/short", {"range": "bytes=3-"})
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */3")
    assert ElementTree.fromstring(answer.data).findtext("Code") == "InvalidRange"


def test_metadata_and_standard_headers_come_back(client: Any) -> None:
    stored: dict[str, Any] = {
        "ContentType": "text/x-test; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"one": "1", "two-words": "a b"},
    }
    client.put_object(Bucket="bucket", Key="meta", Body=b"x", **stored)
    for got in (
        client.head_object(Bucket="bucket", Key="meta"),
        client.get_object(Bucket="bucket", Key="meta"),
    ):
        assert {name: got[name] for name in stored} == stored
    client.put_object(Bucket="bucket", Key="plain", Body=b"x")
    plain = client.head_object(Bucket="bucket", Key="plain")
    assert plain["ContentType"] == "binary/octet-stream"
    assert plain["Metadata"] == {}


def test_metadata_beyond_ascii_comes_back_as_rfc_2047(s3: LocalS3) -> None:
    for sent in ("=?UTF-8?B?Z3LDvG4=?=", "=?UTF-8?Q?gr=C3=BCn?="):
        answer = send(s3, "PUT", "/bucket/words", {"x-amz-meta-color": sent})
        assert answer.status == 200
        got = send(s3, "GET", "/bucket/words")
        assert got.headers["x-amz-meta-color"] == "=?UTF-8?B?Z3LDvG4=?="


def test_too_much_metadata_is_refused(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="m", Body=b"", Metadata={"a": "b" * 2047})
    code = failure(
        client.put_object, Bucket="bucket", Key="m", Body=b"", Metadata={"a": "b" * 2048}
    )
    assert code == ("MetadataTooLarge", 400)


def test_the_answer_headers_can_be_overridden(client: Any, s3: LocalS3) -> None:
    client.put_object(Bucket="bucket", Key="override", Body=b"x", ContentType="a/b")
    got = client.get_object(
        Bucket="bucket", Key="override", ResponseContentType="c/d", ResponseCacheControl="no-cache"
    )
    assert (got["ContentType"], got["CacheControl"]) == ("c/d", "no-cache")
    answer = send(s3, "GET", "/bucket/override?response-content-type=a%0D%0Ab%3A%20c")
    assert answer.status == 400


def test_checksums_come_back_when_asked_for(client: Any) -> None:
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        put = client.put_object(
            Bucket="bucket", Key="sum", Body=b"hello", ChecksumAlgorithm=algorithm
        )
        name = f"Checksum{algorithm}"
        head = client.head_object(Bucket="bucket", Key="sum", ChecksumMode="ENABLED")
        assert put[name] == head[name]
        assert head["ChecksumType"] == "FULL_OBJECT"
        assert name not in client.head_object(Bucket="bucket", Key="sum")


def test_an_object_without_an_announced_checksum_gets_crc64nvme(s3: LocalS3, client: Any) -> None:
    answer = send(s3, "PUT", "/bucket/default", body=b"123456789")
    assert answer.headers["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="  # its check value
    head = client.head_object(Bucket="bucket", Key="default", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == "rosUhgp5mIg="


def test_a_wrong_digest_stores_nothing(client: Any) -> None:
    for wrong in (
        {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        {"ChecksumCRC32": "AAAAAA=="},
        {"ChecksumSHA256": "A" * 43 + "="},
    ):
        code = failure(client.put_object, Bucket="bucket", Key="wrong", Body=b"x", **wrong)
        assert code == ("BadDigest", 400)
    assert failure(client.get_object, Bucket="bucket", Key="wrong") == ("NoSuchKey", 404)


def test_conditional_reads_and_writes(client: Any) -> None:
    put = client.put_object(Bucket="bucket", Key="cond", Body=b"1", IfNoneMatch="*")
    etag = put["ETag"]
    again = {"Bucket": "bucket", "Key": "cond", "Body": b"2"}
    assert failure(client.put_object, **again, IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert failure(client.put_object, **again, IfMatch='"0"') == ("PreconditionFailed", 412)
    read = {"Bucket": "bucket", "Key": "cond"}
    assert failure(client.get_object, **read, IfNoneMatch=etag)[1] == 304
    assert failure(client.head_object, **read, IfMatch='"0"')[1] == 412
    assert client.get_object(**read, IfMatch=etag)["Body"].read() == b"1"
    assert client.put_object(**again, IfMatch=etag)["ETag"] != etag


def test_deleting_is_idempotent(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="gone", Body=b"x")
    for _ in range(2):
        answer = client.delete_object(Bucket="bucket", Key="gone")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert failure(client.head_object, Bucket="bucket", Key="gone")[1] == 404


def test_many_keys_are_deleted_with_one_request(client: Any) -> None:
    keys = [f"many/{number}<&>" for number in range(50)]
    for key in keys:
        client.put_object(Bucket="bucket", Key=key, Body=b"")
    objects = [{"Key": key} for key in [*keys, "never-there"]]
    answer = client.delete_objects(Bucket="bucket", Delete={"Objects": objects})
    assert [one["Key"] for one in answer["Deleted"]] == [*keys, "never-there"]
    assert client.list_objects_v2(Bucket="bucket", Prefix="many/")["KeyCount"] == 0
    quiet = {"Objects": [{"Key": "k"}, {"Key": "k" * 1025}], "Quiet": True}
    answer = client.delete_objects(Bucket="bucket", Delete=quiet)
    assert "Deleted" not in answer
    assert [one["Code"] for one in answer["Errors"]] == ["KeyTooLongError"]


def test_delete_objects_is_bounded_and_needs_a_digest(s3: LocalS3, client: Any) -> None:
    too_many = {"Objects": [{"Key": str(number)} for number in range(1001)]}
    assert failure(client.delete_objects, Bucket="bucket", Delete=too_many) == ("MalformedXML", 400)
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    answer = send(s3, "POST", "/bucket?delete", body=body)
    assert b"Missing required header for this request: Content-MD5" in answer.data


def test_copies_take_or_replace_the_metadata(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="src \u00fc", Body=b"x" * 40000, Metadata={"a": "1"})
    source = {"Bucket": "bucket", "Key": "src \u00fc"}
    copied = client.copy_object(Bucket="bucket", Key="dst", CopySource=source)
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"x" * 40000).hexdigest()}"'
    assert client.head_object(Bucket="bucket", Key="dst")["Metadata"] == {"a": "1"}
    options = {"CopySource": source, "MetadataDirective": "REPLACE", "Metadata": {"b": "2"}}
    client.copy_object(Bucket="bucket", Key="dst", **options)
    assert client.head_object(Bucket="bucket", Key="dst")["Metadata"] == {"b": "2"}
    assert client.get_object(Bucket="bucket", Key="dst")["Body"].read() == b"x" * 40000


def test_copies_that_make_no_sense_are_refused(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="src", Body=b"x")
    call = client.copy_object
    to_itself = {"Bucket": "bucket", "Key": "src", "CopySource": "bucket/src"}
    assert failure(call, **to_itself) == ("InvalidRequest", 400)
    target = {"Bucket": "bucket", "Key": "dst"}
    assert failure(call, **target, CopySource="bucket/none") == ("NoSuchKey", 404)
    assert failure(call, **target, CopySource="no-bucket/k") == ("NoSuchBucket", 404)
    assert failure(call, **target, CopySource="bucket") == ("InvalidArgument", 400)
    stale = {"CopySource": "bucket/src", "CopySourceIfMatch": "0"}
    assert failure(call, **target, **stale) == ("PreconditionFailed", 412)


def test_an_error_document_names_the_request(s3: LocalS3) -> None:
    answer = send(s3, "GET", "/bucket/no/such%20key")
    root = ElementTree.fromstring(answer.data)
    assert answer.status == 404
    assert root.findtext("Code") == "NoSuchKey"
    assert root.findtext("Key") == "no/such key"
    assert root.findtext("Resource") == "/bucket/no/such%20key"
    assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]
    assert root.findtext("HostId") == answer.headers["x-amz-id-2"]
    assert answer.headers["server"] == "Trilith"


def test_a_failed_head_has_no_body(s3: LocalS3) -> None:
    answer = send(s3, "HEAD", "/bucket/none")
    assert (answer.status, answer.data) == (404, b"")
    assert "content-length" not in answer.headers


def test_every_request_is_recorded_once(s3: LocalS3, client: Any) -> None:
    before = len(s3.records)
    client.put_object(Bucket="bucket", Key="seen", Body=b"12345")
    client.get_object(Bucket="bucket", Key="seen")["Body"].read()
    failure(client.get_object, Bucket="bucket", Key="unseen")
    put, got, missed = s3.records[before:]
    assert (put.operation, put.bucket, put.key, put.status) == ("PutObject", "bucket", "seen", 200)
    assert (put.bytes_in, got.bytes_out) == (5, 5)
    assert (missed.operation, missed.status, missed.error_code) == ("GetObject", 404, "NoSuchKey")
    assert len({put.request_id, got.request_id, missed.request_id}) == 3
    assert put.access_key == "AKIATEST"
    assert "Boto3" in put.user_agent


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-storage-class", "DEEP_ARCHIVE"),
        ("x-amz-website-redirect-location", "/x"),
    ],
)
def test_headers_that_ask_for_more_are_refused_by_name(
    s3: LocalS3, client: Any, header: str, value: str
) -> None:
    answer = send(s3, "PUT", "/bucket/more", {header: value}, b"x")
    assert answer.status == 501
    assert header.encode() in answer.data
    assert failure(client.head_object, Bucket="bucket", Key="more")[1] == 404


def test_presigned_parameters_count_as_headers(s3: LocalS3, client: Any) -> None:
    """SDKs move x-amz-* headers into the query of a presigned URL."""
    signer = s3.client(signature_version="s3v4")
    url = signer.generate_presigned_url(
        "put_object", Params={"Bucket": "bucket", "Key": "hoisted"}, HttpMethod="PUT"
    )
    assert urllib3.request("PUT", url, body=b"x", retries=False).status == 200
    moved = url + "&x-amz-acl=public-read"
    answer = urllib3.request("PUT", moved, body=b"x", retries=False)
    assert answer.status == 403  # the added parameter is not signed


def test_a_bucket_of_another_account_is_not_touched(s3: LocalS3) -> None:
    for owner, status in (("000000000001", 200), ("123456789012", 403)):
        headers = {"x-amz-expected-bucket-owner": owner}
        assert send(s3, "PUT", "/bucket/owned", headers, b"x").status == status


def test_beyond_its_limit_a_node_sheds_requests_at_once() -> None:
    with running(LocalS3(limits=Limits(requests_inflight_max=1))) as busy:
        client = busy.client(signature_version="s3v4")
        client.create_bucket(Bucket="bucket")
        url = client.generate_presigned_url(
            "put_object", Params={"Bucket": "bucket", "Key": "k"}, HttpMethod="PUT"
        )
        head = (
            f"PUT {url.removeprefix(busy.endpoint)} HTTP/1.1\r\nhost: 127.0.0.1:{busy.port}\r\n"
            "content-length: 2\r\nexpect: 100-continue\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", busy.port), timeout=60) as slow:
            slow.sendall(head.encode())
            assert slow.recv(1000).startswith(b"HTTP/1.1 100 ")
            assert failure(client.list_objects_v2, Bucket="bucket") == ("SlowDown", 503)
            slow.sendall(b"ab")
            assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert client.list_objects_v2(Bucket="bucket")["KeyCount"] == 1


def test_an_upload_that_is_cut_off_is_recorded_as_the_clients(s3: LocalS3) -> None:
    signer = s3.client(signature_version="s3v4")
    url = signer.generate_presigned_url(
        "put_object", Params={"Bucket": "bucket", "Key": "reset"}, HttpMethod="PUT"
    )
    head = (
        f"PUT {url.removeprefix(s3.endpoint)} HTTP/1.1\r\nhost: 127.0.0.1:{s3.port}\r\n"
        "content-length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", s3.port), timeout=60) as cut:
        cut.sendall(head.encode() + b"x" * 50)
        cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deadline = time.monotonic() + 10
    while not any(one.key == "reset" for one in s3.records):
        assert time.monotonic() < deadline
        send(s3, "HEAD", "/bucket/any")
    (record,) = [one for one in s3.records if one.key == "reset"]
    assert record.error_code in ("ClientGone", "IncompleteBody")
    assert send(s3, "HEAD", "/bucket/reset").status == 404


def test_a_truncated_upload_stores_nothing(s3: LocalS3, client: Any) -> None:
    signer = s3.client(signature_version="s3v4")
    url = signer.generate_presigned_url(
        "put_object", Params={"Bucket": "bucket", "Key": "cut"}, HttpMethod="PUT"
    )
    target = url.removeprefix(s3.endpoint)
    request = (
        f"PUT {target} HTTP/1.1\r\nhost: 127.0.0.1:{s3.port}\r\ncontent-length: 100000\r\n\r\n"
    )
    answer = s3.raw(request.encode() + b"x" * 50000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>IncompleteBody</Code>" in answer
    assert failure(client.head_object, Bucket="bucket", Key="cut")[1] == 404


def test_a_body_over_five_gibibytes_is_refused_before_it_is_sent(s3: LocalS3) -> None:
    signer = s3.client(signature_version="s3v4")
    url = signer.generate_presigned_url(
        "put_object", Params={"Bucket": "bucket", "Key": "huge"}, HttpMethod="PUT"
    )
    size = (5 << 30) + 1
    request = (
        f"PUT {url.removeprefix(s3.endpoint)} HTTP/1.1\r\nhost: 127.0.0.1:{s3.port}\r\n"
        f"content-length: {size}\r\nexpect: 100-continue\r\n\r\n"
    )
    answer = s3.raw(request.encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>EntityTooLarge</Code>" in answer
    assert b"100 Continue" not in answer


def test_malformed_http_is_answered_in_s3s_words(s3: LocalS3) -> None:
    answer = s3.raw(b"GET nowhere HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>BadRequest</Code>" in answer
    assert b"x-amz-request-id" in answer


def test_invalid_utf8_in_a_key_is_refused(s3: LocalS3) -> None:
    answer = s3.raw(b"GET /bucket/%ff%fe HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert b"<Code>InvalidURI</Code>" in answer


def test_other_versions_than_the_null_one_are_not_served(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="version", Body=b"x")
    client.get_object(Bucket="bucket", Key="version", VersionId="null")
    for call in (client.get_object, client.delete_object, client.get_object_tagging):
        code = failure(call, Bucket="bucket", Key="version", VersionId="abc")
        assert code == ("InvalidArgument", 400)
    client.head_object(Bucket="bucket", Key="version")


@pytest.mark.parametrize("query", ["?partNumber=1", "?versionId=null", "?versionId="])
def test_a_put_with_what_belongs_to_another_operation_stores_nothing(
    s3: LocalS3, client: Any, query: str
) -> None:
    """A part whose upload id was forgotten must not replace the object."""
    client.put_object(Bucket="bucket", Key="kept", Body=b"kept")
    answer = send(s3, "PUT", f"/bucket/kept{query}", {}, b"x")
    assert (answer.status, b"<Code>InvalidArgument</Code>" in answer.data) == (400, True)
    source = {"x-amz-copy-source": "bucket/version"}
    assert send(s3, "PUT", f"/bucket/kept{query}", source).status == 400
    assert client.get_object(Bucket="bucket", Key="kept")["Body"].read() == b"kept"


@pytest.mark.parametrize("storage_class", ["STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING"])
def test_a_class_that_is_answered_at_once_is_kept_as_a_label(
    client: Any, storage_class: str
) -> None:
    name = {"Bucket": "bucket", "Key": f"class-{storage_class}"}
    client.put_object(**name, Body=b"x", StorageClass=storage_class)
    got = client.get_object(**name)
    assert (got["StorageClass"], got["Body"].read()) == (storage_class, b"x")
    (listed,) = client.list_objects_v2(Bucket="bucket", Prefix=name["Key"])["Contents"]
    assert listed["StorageClass"] == storage_class
    client.put_object_tagging(**name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert client.head_object(**name)["StorageClass"] == storage_class
    upload = client.create_multipart_upload(**name, StorageClass=storage_class)["UploadId"]
    assert client.list_parts(**name, UploadId=upload)["StorageClass"] == storage_class
    part = client.upload_part(**name, UploadId=upload, PartNumber=1, Body=b"y")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(**name, UploadId=upload, MultipartUpload=parts)
    assert client.head_object(**name)["StorageClass"] == storage_class


def test_a_copy_has_the_class_that_it_asks_for(client: Any) -> None:
    source = {"Bucket": "bucket", "Key": "class-source"}
    meta = {"a": "b"}
    client.put_object(**source, Body=b"x", Metadata=meta, StorageClass="STANDARD_IA")
    copied = {"Bucket": "bucket", "Key": "class-copy", "CopySource": source}
    client.copy_object(**copied)
    assert "StorageClass" not in client.head_object(Bucket="bucket", Key="class-copy")
    client.copy_object(**copied, StorageClass="ONEZONE_IA")
    head = client.head_object(Bucket="bucket", Key="class-copy")
    assert (head["StorageClass"], head["Metadata"]) == ("ONEZONE_IA", meta)
    client.copy_object(**source, CopySource=source, StorageClass="STANDARD")
    assert "StorageClass" not in client.head_object(**source)


def test_where_nothing_is_retained_retention_may_be_bypassed(client: Any) -> None:
    """Suites and tools that clean up say so with every deletion."""
    client.put_object(Bucket="bucket", Key="bypassed", Body=b"x")
    wanted = {"Objects": [{"Key": "bypassed", "VersionId": "null"}], "Quiet": True}
    client.delete_objects(Bucket="bucket", Delete=wanted, BypassGovernanceRetention=True)
    client.delete_object(Bucket="bucket", Key="bypassed", BypassGovernanceRetention=True)
    assert failure(client.head_object, Bucket="bucket", Key="bypassed")[1] == 404


@pytest.mark.parametrize("source", ["AB/k", "bucket/a%zz", "bucket", "bucket/k?versionId=abc"])
def test_a_malformed_copy_source_is_an_invalid_argument(s3: LocalS3, source: str) -> None:
    answer = send(s3, "PUT", "/bucket/copied", {"x-amz-copy-source": source})
    assert (answer.status, b"<Code>InvalidArgument</Code>" in answer.data) == (400, True)


def test_what_is_read_about_an_object(client: Any) -> None:
    put = client.put_object(Bucket="bucket", Key="about", Body=b"12345")
    wanted = ["ETag", "ObjectSize", "StorageClass", "Checksum"]
    got = client.get_object_attributes(Bucket="bucket", Key="about", ObjectAttributes=wanted)
    assert f'"{got["ETag"]}"' == put["ETag"]
    assert (got["ObjectSize"], got["StorageClass"]) == (5, "STANDARD")
    assert got["Checksum"]["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert client.get_object_tagging(Bucket="bucket", Key="about")["TagSet"] == []
    (grant,) = client.get_object_acl(Bucket="bucket", Key="about")["Grants"]
    assert grant["Permission"] == "FULL_CONTROL"
