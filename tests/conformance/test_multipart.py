"""Multipart uploads: create, upload and copy parts, list, complete, abort."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from .refusals import refused
from .trees import MIB, random_bytes
from .wire import Caller

PART_BYTES = 5 * MIB


def etag_of_parts(bodies: list[bytes]) -> str:
    """MD5 of the parts' MD5s, and their count: as AWS computes it."""
    joined = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(bodies)}"'


def begin(s3: Any, bucket: str, key: str = "o", **arguments: Any) -> str:
    return str(s3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)["UploadId"])


def put_parts(
    s3: Any, bucket: str, upload: str, bodies: dict[int, bytes], key: str = "o"
) -> list[dict[str, Any]]:
    """Uploads the parts and returns them as CompleteMultipartUpload wants them."""
    done = []
    for number, body in bodies.items():
        answer = s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
        )
        assert answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        done.append({"PartNumber": number, "ETag": answer["ETag"]})
    return done


def complete(
    s3: Any, bucket: str, upload: str, parts: list[dict[str, Any]], key: str = "o"
) -> dict[str, Any]:
    answer: dict[str, Any] = s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    return answer


def test_parts_become_one_object_in_order_of_their_numbers(s3: Any, bucket: str) -> None:
    bodies = {
        7: random_bytes(PART_BYTES, 7),
        2: random_bytes(PART_BYTES + 1, 2),
        9: random_bytes(10, 9),
    }
    upload = begin(s3, bucket, Metadata={"k": "v"}, ContentType="text/plain")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="o")
    parts = put_parts(s3, bucket, upload, bodies)
    in_order = [bodies[number] for number in sorted(bodies)]
    answer = complete(s3, bucket, upload, sorted(parts, key=lambda part: part["PartNumber"]))
    assert answer["ETag"] == etag_of_parts(in_order)
    got = s3.get_object(Bucket=bucket, Key="o")
    assert got["Body"].read() == b"".join(in_order)
    assert (got["Metadata"], got["ContentType"]) == ({"k": "v"}, "text/plain")
    assert got["ETag"] == answer["ETag"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_a_part_of_a_finished_object_can_be_read_by_its_number(s3: Any, bucket: str) -> None:
    bodies = {1: random_bytes(PART_BYTES, 1), 2: random_bytes(1000, 2)}
    upload = begin(s3, bucket)
    complete(s3, bucket, upload, put_parts(s3, bucket, upload, bodies))
    for number, body in bodies.items():
        got = s3.get_object(Bucket=bucket, Key="o", PartNumber=number)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["PartsCount"] == 2
        assert got["Body"].read() == body


def test_a_part_uploaded_twice_counts_as_the_later_one(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    (old,) = put_parts(s3, bucket, upload, {1: b"old"})
    (new,) = put_parts(s3, bucket, upload, {1: b"newer"})
    with refused("InvalidPart", 400):
        complete(s3, bucket, upload, [old])
    complete(s3, bucket, upload, [new])
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"newer"


def test_parts_that_are_not_listed_are_left_out(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload, {1: b"one", 2: b"two"})
    complete(s3, bucket, upload, parts[1:])
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == b"two"


def test_a_small_part_before_the_last_is_refused_and_can_be_mended(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    small = put_parts(s3, bucket, upload, {1: b"small", 2: b"last"})
    with refused("EntityTooSmall", 400):
        complete(s3, bucket, upload, small)
    mended = put_parts(s3, bucket, upload, {1: random_bytes(PART_BYTES)})
    complete(s3, bucket, upload, [*mended, small[1]])


def test_wrong_lists_of_parts_are_refused(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload, {1: random_bytes(PART_BYTES), 2: b"two"})
    with refused("InvalidPartOrder", 400):
        complete(s3, bucket, upload, parts[::-1])
    with refused("InvalidPart", 400):
        complete(s3, bucket, upload, [*parts, {"PartNumber": 3, "ETag": '"0123"'}])
    with refused("InvalidPart", 400):
        complete(s3, bucket, upload, [{"PartNumber": 1, "ETag": parts[1]["ETag"]}])
    with refused("MalformedXML", 400):
        complete(s3, bucket, upload, [])
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="o")
    complete(s3, bucket, upload, parts)


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_a_part_number_out_of_1_to_10000_is_refused(s3: Any, bucket: str, number: int) -> None:
    upload = begin(s3, bucket)
    with refused("InvalidArgument", 400):
        s3.upload_part(Bucket=bucket, Key="o", UploadId=upload, PartNumber=number, Body=b"")


def test_an_aborted_upload_is_gone(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload, {1: b"one"})
    s3.abort_multipart_upload(Bucket=bucket, Key="o", UploadId=upload)
    with refused("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="o", UploadId=upload, PartNumber=2, Body=b"")
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, upload, parts)
    with refused("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="o", UploadId=upload)
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(Bucket=bucket, Key="o", UploadId=upload)


def test_an_upload_belongs_to_its_key(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket, "right")
    with refused("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="wrong", UploadId=upload, PartNumber=1, Body=b"")
    with refused("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="right", UploadId="no-id", PartNumber=1, Body=b"")


def test_parts_are_listed_in_pages(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    put_parts(s3, bucket, upload, {number: b"x" * number for number in range(1, 8)})
    seen: list[dict[str, Any]] = []
    marker = 0
    while True:
        page = s3.list_parts(
            Bucket=bucket, Key="o", UploadId=upload, MaxParts=3, PartNumberMarker=marker
        )
        seen += page["Parts"]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert [(part["PartNumber"], part["Size"]) for part in seen] == [(n, n) for n in range(1, 8)]


def test_uploads_are_listed_by_prefix_delimiter_and_page(s3: Any, bucket: str) -> None:
    started = [(key, begin(s3, bucket, key)) for key in ["a", "a", "b/1", "b/2", "c"]]
    listed = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert sorted((item["Key"], item["UploadId"]) for item in listed) == sorted(started)
    assert [item["Key"] for item in listed] == ["a", "a", "b/1", "b/2", "c"]
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [item["Prefix"] for item in grouped["CommonPrefixes"]] == ["b/"]
    assert [item["Key"] for item in grouped["Uploads"]] == ["a", "a", "c"]
    narrowed = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert [item["Key"] for item in narrowed["Uploads"]] == ["b/1", "b/2"]
    seen = []
    arguments: dict[str, Any] = {"MaxUploads": 2}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, **arguments)
        seen += [(item["Key"], item["UploadId"]) for item in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        arguments["KeyMarker"] = page["NextKeyMarker"]
        arguments["UploadIdMarker"] = page["NextUploadIdMarker"]
    assert sorted(seen) == sorted(started)
    assert len(seen) == len(started)


def test_parts_can_be_copied_from_objects(s3: Any, bucket: str) -> None:
    source = random_bytes(12 * MIB, 12)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload = begin(s3, bucket)
    parts = []
    for number, (first, last) in enumerate([(0, 6 * MIB - 1), (6 * MIB, 12 * MIB - 1)], 1):
        answer = s3.upload_part_copy(
            Bucket=bucket,
            Key="o",
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange=f"bytes={first}-{last}",
        )
        etag = answer["CopyPartResult"]["ETag"]
        assert etag == f'"{hashlib.md5(source[first : last + 1]).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": etag})
    complete(s3, bucket, upload, parts)
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == source


def test_a_part_copy_of_something_absent_is_refused(s3: Any, bucket: str) -> None:
    upload = begin(s3, bucket)
    arguments = {"Bucket": bucket, "Key": "o", "UploadId": upload, "PartNumber": 1}
    with refused("NoSuchKey", 404):
        s3.upload_part_copy(**arguments, CopySource={"Bucket": bucket, "Key": "absent"})
    s3.put_object(Bucket=bucket, Key="short", Body=b"short")
    with refused("InvalidArgument", 400):
        s3.upload_part_copy(
            **arguments,
            CopySource={"Bucket": bucket, "Key": "short"},
            CopySourceRange="bytes=0-5",
        )


def test_many_small_uploads_of_one_key_do_not_mix(s3: Any, bucket: str) -> None:
    uploads = [begin(s3, bucket) for _ in range(4)]
    for number, upload in enumerate(uploads):
        parts = put_parts(s3, bucket, upload, {1: f"upload {number}".encode()})
        complete(s3, bucket, upload, parts)
        got = s3.get_object(Bucket=bucket, Key="o")["Body"].read()
        assert got == f"upload {number}".encode()


@pytest.mark.parametrize("body", [b"", b"<a", b"not xml", b"<Other/>", b"\xff\xfe<"])
def test_a_completion_that_is_no_xml_of_its_kind_is_refused(
    caller: Caller, s3: Any, bucket: str, body: bytes
) -> None:
    upload = begin(s3, bucket)
    answer = caller.call("POST", f"/{bucket}/o", query=[("uploadId", upload)], body=body)
    assert (answer.status, answer.error_code) == (400, "MalformedXML")
