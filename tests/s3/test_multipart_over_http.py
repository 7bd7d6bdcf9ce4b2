"""Multipart uploads through boto3."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1 << 20
BIG = bytes(range(256)) * (5 * MIB // 256)


def failure(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


class Upload:
    """An upload of one key and the parts that it has."""

    def __init__(self, client: Any, key: str, **options: Any) -> None:
        self.client = client
        self.where = {"Bucket": "bucket", "Key": key}
        self.created = client.create_multipart_upload(**self.where, **options)
        self.where["UploadId"] = self.created["UploadId"]
        self.parts: list[dict[str, Any]] = []

    def put(self, number: int, body: bytes, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.upload_part(
            **self.where, PartNumber=number, Body=body, **options
        )
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        part |= {name: value for name, value in answer.items() if name.startswith("Checksum")}
        self.parts.append(part)
        return answer

    def complete(self, **options: Any) -> dict[str, Any]:
        parts = sorted(self.parts, key=lambda part: int(part["PartNumber"]))
        answer: dict[str, Any] = self.client.complete_multipart_upload(
            **self.where, MultipartUpload={"Parts": parts}, **options
        )
        return answer


def test_parts_in_any_order_become_one_object(client: Any) -> None:
    upload = Upload(client, "whole", ContentType="a/b", Metadata={"m": "1"})
    upload.put(3, b"tail")
    upload.put(1, BIG)
    upload.put(2, BIG[::-1])
    done = upload.complete()
    digests = b"".join(hashlib.md5(one).digest() for one in (BIG, BIG[::-1], b"tail"))
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert done["Location"].endswith("/bucket/whole")
    got = client.get_object(Bucket="bucket", Key="whole")
    assert got["Body"].read() == BIG + BIG[::-1] + b"tail"
    assert (got["ContentType"], got["Metadata"]) == ("a/b", {"m": "1"})


def test_a_part_can_be_read_by_its_number(client: Any) -> None:
    upload = Upload(client, "parts")
    upload.put(1, BIG)
    upload.put(2, b"second")
    upload.complete()
    got = client.get_object(Bucket="bucket", Key="parts", PartNumber=2)
    assert got["Body"].read() == b"second"
    assert got["PartsCount"] == 2
    assert got["ContentRange"] == f"bytes {len(BIG)}-{len(BIG) + 5}/{len(BIG) + 6}"
    head = client.head_object(Bucket="bucket", Key="parts", PartNumber=1)
    assert (head["ContentLength"], head["PartsCount"]) == (len(BIG), 2)
    wrong = {"Bucket": "bucket", "Key": "parts", "PartNumber": 3}
    assert failure(client.get_object, **wrong) == ("InvalidPartNumber", 416)
    client.put_object(Bucket="bucket", Key="simple", Body=b"x")
    assert client.head_object(Bucket="bucket", Key="simple", PartNumber=1)["ContentLength"] == 1


def test_the_checksum_of_an_upload_is_that_of_its_parts(client: Any) -> None:
    upload = Upload(client, "sums", ChecksumAlgorithm="SHA256")
    upload.put(1, BIG, ChecksumAlgorithm="SHA256")
    upload.put(2, b"tail", ChecksumAlgorithm="SHA256")
    assert upload.complete()["ChecksumSHA256"].endswith("-2")
    head = client.head_object(Bucket="bucket", Key="sums", ChecksumMode="ENABLED")
    assert head["ChecksumType"] == "COMPOSITE"
    other = Upload(client, "sums", ChecksumAlgorithm="SHA256")
    code = failure(
        client.upload_part, **other.where, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA1"
    )
    assert code == ("InvalidRequest", 400)


def test_a_full_object_checksum_covers_all_the_bytes(client: Any) -> None:
    import zlib
    from base64 import b64encode

    options = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    upload = Upload(client, "full", **options)
    upload.put(1, BIG)
    upload.put(2, b"tail")
    expected = b64encode(zlib.crc32(BIG + b"tail").to_bytes(4, "big")).decode()
    done = upload.complete(ChecksumCRC32=expected, ChecksumType="FULL_OBJECT")
    assert done["ChecksumCRC32"] == expected
    wrong = Upload(client, "full", **options)
    wrong.put(1, b"tail")
    sums = {"ChecksumCRC32": expected, "ChecksumType": "FULL_OBJECT"}
    parts = {"MultipartUpload": {"Parts": wrong.parts}}
    code = failure(client.complete_multipart_upload, **wrong.where, **parts, **sums)
    assert code == ("BadDigest", 400)


def test_an_upload_that_cannot_be_completed_says_why(client: Any) -> None:
    upload = Upload(client, "wrong")
    upload.put(1, b"too small")
    upload.put(2, b"tail")
    one, two = upload.parts

    def complete(*parts: dict[str, Any], **options: Any) -> tuple[str, int]:
        call = client.complete_multipart_upload
        return failure(call, **upload.where, MultipartUpload={"Parts": list(parts)}, **options)

    assert complete(one, two) == ("EntityTooSmall", 400)
    assert complete(two, one) == ("InvalidPartOrder", 400)
    assert complete(one, two | {"PartNumber": 3}) == ("InvalidPart", 400)
    assert complete(one | {"ETag": '"0"'}) == ("InvalidPart", 400)
    assert complete() == ("MalformedXML", 400)
    assert complete(two, MpuObjectSize=99)[1] == 400


def test_completing_again_answers_with_the_object(client: Any) -> None:
    """A client that lost the first answer repeats the request."""
    upload = Upload(client, "again")
    upload.put(1, b"x")
    first = upload.complete()
    assert upload.complete()["ETag"] == first["ETag"]


def test_an_aborted_upload_is_gone(client: Any) -> None:
    upload = Upload(client, "aborted")
    upload.put(1, b"x")
    client.abort_multipart_upload(**upload.where)
    part = {"PartNumber": 1, "Body": b"x"}
    assert failure(client.upload_part, **upload.where, **part) == ("NoSuchUpload", 404)
    assert failure(client.list_parts, **upload.where) == ("NoSuchUpload", 404)
    assert failure(client.abort_multipart_upload, **upload.where) == ("NoSuchUpload", 404)


def test_part_numbers_are_bounded(client: Any) -> None:
    upload = Upload(client, "bounds")
    for number in (0, 10_001):
        code = failure(client.upload_part, **upload.where, PartNumber=number, Body=b"x")
        assert code == ("InvalidArgument", 400)
    upload.put(10_000, b"x")
    client.abort_multipart_upload(**upload.where)


def test_parts_are_listed_in_pages(client: Any) -> None:
    upload = Upload(client, "listed")
    for number in (1, 2, 5, 9):
        upload.put(number, b"x" * number)
    pages = client.get_paginator("list_parts").paginate(
        **upload.where, PaginationConfig={"PageSize": 3}
    )
    rows = [[(part["PartNumber"], part["Size"]) for part in page["Parts"]] for page in pages]
    assert rows == [[(1, 1), (2, 2), (5, 5)], [(9, 9)]]
    client.abort_multipart_upload(**upload.where)


@pytest.mark.parametrize("marker", ["zz", "00", "0" * 31, "0" * 33, "-" * 32])
def test_a_listing_behind_what_is_no_upload_id_is_refused(client: Any, marker: str) -> None:
    with pytest.raises(ClientError) as caught:
        client.list_multipart_uploads(Bucket="bucket", KeyMarker="a", UploadIdMarker=marker)
    error = caught.value.response["Error"]
    assert (error["Code"], error["ArgumentName"]) == ("InvalidArgument", "upload-id-marker")


def test_open_uploads_are_listed_in_pages(client: Any) -> None:
    uploads = [Upload(client, key) for key in ("open/a", "open/a", "open/b", "open/c/d")]
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket="bucket", Prefix="open/", PaginationConfig={"PageSize": 1}
    )
    seen = [(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])]
    assert sorted(seen) == sorted((one.where["Key"], one.where["UploadId"]) for one in uploads)
    page = client.list_multipart_uploads(Bucket="bucket", Prefix="open/", Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["open/c/"]
    for upload in uploads:
        client.abort_multipart_upload(**upload.where)


def test_parts_can_be_copied(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="source", Body=BIG + b"0123456789")
    upload = Upload(client, "from-copy")
    for number, span in ((1, f"bytes=0-{len(BIG) - 1}"), (2, f"bytes={len(BIG)}-{len(BIG) + 3}")):
        answer = client.upload_part_copy(
            **upload.where, PartNumber=number, CopySource="bucket/source", CopySourceRange=span
        )
        etag = answer["CopyPartResult"]["ETag"]
        upload.parts.append({"PartNumber": number, "ETag": etag})
    upload.complete()
    assert client.get_object(Bucket="bucket", Key="from-copy")["Body"].read() == BIG + b"0123"
    beyond = {"CopySource": "bucket/source", "CopySourceRange": f"bytes=0-{len(BIG) + 10}"}
    other = Upload(client, "from-copy")
    code = failure(client.upload_part_copy, **other.where, PartNumber=1, **beyond)
    assert code == ("InvalidArgument", 400)


def test_a_completed_upload_can_be_conditional(client: Any) -> None:
    client.put_object(Bucket="bucket", Key="once", Body=b"x")
    upload = Upload(client, "once")
    upload.put(1, b"y")
    parts = {"MultipartUpload": {"Parts": upload.parts}}
    code = failure(client.complete_multipart_upload, **upload.where, **parts, IfNoneMatch="*")
    assert code == ("PreconditionFailed", 412)


def test_the_transfer_manager_moves_a_file_there_and_back(client: Any) -> None:
    config = TransferConfig(
        multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4
    )
    body = BIG * 3 + b"end"
    client.upload_fileobj(io.BytesIO(body), "bucket", "transfer", Config=config)
    back = io.BytesIO()
    client.download_fileobj("bucket", "transfer", back, Config=config)
    assert back.getvalue() == body


def test_the_parts_of_an_object_are_listed_in_pages(client: Any) -> None:
    name = {"Bucket": "bucket", "Key": "attributes"}
    upload = {**name, "UploadId": client.create_multipart_upload(**name)["UploadId"]}
    bodies = {2: b"a" * (5 * MIB), 3: b"b" * (5 * MIB), 7: b"c"}
    parts = [
        {"PartNumber": n, "ETag": client.upload_part(**upload, PartNumber=n, Body=body)["ETag"]}
        for n, body in bodies.items()
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    wanted = {**name, "ObjectAttributes": ["ObjectParts"]}
    first = client.get_object_attributes(**wanted, MaxParts=2)["ObjectParts"]
    assert (first["TotalPartsCount"], first["IsTruncated"], first["MaxParts"]) == (3, True, 2)
    assert [(one["PartNumber"], one["Size"]) for one in first["Parts"]] == [
        (2, 5 * MIB),
        (3, 5 * MIB),
    ]
    marker = first["NextPartNumberMarker"]
    rest = client.get_object_attributes(**wanted, PartNumberMarker=marker)["ObjectParts"]
    (last,) = rest["Parts"]
    assert (last["PartNumber"], last["Size"], rest["IsTruncated"]) == (7, 1, False)
