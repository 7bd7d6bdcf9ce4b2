"""What a completion says of checksums, and what of parts' checksums is kept; through boto3."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from trilith_native.crc import crc64nvme

from .local_s3 import MIB

BODIES = (b"a" * (5 * MIB), b"b" * (5 * MIB), b"c")


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def crc64(data: bytes) -> str:
    return base64.b64encode(crc64nvme(data, 0).to_bytes(8, "big")).decode()


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    return error["Code"], error["Message"]


def upload(client: Any, **options: Any) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """An upload of three parts under the key `k`, and what is known of them."""
    where = {"Bucket": "bucket", "Key": "k"}
    where["UploadId"] = client.create_multipart_upload(**where, **options)["UploadId"]
    algorithm = {k: v for k, v in options.items() if k == "ChecksumAlgorithm"}
    parts = []
    for number, body in enumerate(BODIES, 1):
        part = client.upload_part(**where, PartNumber=number, Body=body, **algorithm)
        known = {name: part[name] for name in part if name.startswith("Checksum")}
        parts.append({"PartNumber": number, "ETag": part["ETag"], **known})
    return where, parts


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_a_list_of_parts_says_their_checksums_and_rightly(client: Any, algorithm: str) -> None:
    where, parts = upload(client, ChecksumAlgorithm=algorithm)
    name = f"Checksum{algorithm}"

    def complete(first: dict[str, Any]) -> tuple[str, str]:
        listed = {"Parts": [first, *parts[1:]]}
        return refusal(client.complete_multipart_upload, **where, MultipartUpload=listed)

    bare = {part: parts[0][part] for part in ("PartNumber", "ETag")}
    code, message = complete(bare)
    assert (code, "It was missing for part 1" in message) == ("InvalidRequest", True)
    assert complete({**bare, name: "bad"})[0] == "InvalidArgument"
    assert complete({**parts[0], "ChecksumSHA1": "A" * 27 + "="})[0] == "InvalidArgument"
    assert complete({**bare, name: parts[1][name]})[0] == "InvalidPart"
    assert complete({**bare, "ChecksumSHA1": "A" * 27 + "="})[0] == "BadDigest"
    done = client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert (done["ChecksumType"], done[name][-2:]) == ("COMPOSITE", "-3")


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_what_a_completion_announces_is_read_strictly(client: Any, kind: str) -> None:
    where, parts = upload(client, ChecksumAlgorithm="CRC32", ChecksumType=kind)

    def complete(**announced: Any) -> tuple[str, str]:
        listed = {"MultipartUpload": {"Parts": parts}}
        return refusal(client.complete_multipart_upload, **where, **listed, **announced)

    other = "COMPOSITE" if kind == "FULL_OBJECT" else "FULL_OBJECT"
    assert complete(ChecksumType=other)[0] == "InvalidRequest"
    invalid = ("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    assert complete(ChecksumType="bogus") == invalid
    for value in ("bad", "AAAAAA==-x", "AAAAAA==-1-2", "AAAAAA==--3"):
        assert complete(ChecksumCRC32=value)[0] == "InvalidRequest"
    assert complete(ChecksumCRC32="AAAAAA==", ChecksumSHA1="A" * 27 + "=")[0] == "InvalidRequest"
    assert complete(ChecksumCRC32="AAAAAA==")[0] == "BadDigest"
    for size in (-1, 7):
        assert complete(MpuObjectSize=size)[0] == "InvalidRequest"
    client.complete_multipart_upload(
        **where, MultipartUpload={"Parts": parts}, ChecksumType=kind, MpuObjectSize=10 * MIB + 1
    )


@pytest.mark.parametrize("number", [0, -4])
def test_a_listed_part_has_a_number_from_1(client: Any, number: int) -> None:
    where, parts = upload(client)
    listed = {"Parts": [{**parts[0], "PartNumber": number}]}
    answer = refusal(client.complete_multipart_upload, **where, MultipartUpload=listed)
    assert answer == ("InvalidArgument", "PartNumber must be >= 1")


def test_an_upload_that_names_no_algorithm_gets_a_crc64nvme_of_the_whole(client: Any) -> None:
    """Also where its parts came with other checksums, which are verified and listed."""
    where, parts = upload(client)
    assert parts[0]["ChecksumCRC32"] == crc32(BODIES[0])
    listed = client.list_parts(**where)["Parts"]
    assert [part["ChecksumCRC32"] for part in listed] == [crc32(body) for body in BODIES]
    wrong = {"Parts": [{**parts[0], "ChecksumCRC32": "AAAAAA=="}, *parts[1:]]}
    answer = refusal(client.complete_multipart_upload, **where, MultipartUpload=wrong)
    assert answer[0] == "InvalidPart"
    done = client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    whole = (crc64(b"".join(BODIES)), "FULL_OBJECT")
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == whole
    name = {"Bucket": "bucket", "Key": "k"}
    head = client.head_object(**name, ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == whole


def test_what_is_announced_of_an_upload_without_an_algorithm_is_no_condition_it_lacks(
    client: Any,
) -> None:
    """Compared where the parts came with the like, and stored as a CRC64NVME all the same."""
    where, parts = upload(client)
    listed = {"MultipartUpload": {"Parts": parts}}
    complete = client.complete_multipart_upload
    for wrong in ({"ChecksumCRC32": "AAAAAA=="}, {"ChecksumCRC64NVME": "AAAAAAAAAAA="}):
        assert refusal(complete, **where, **listed, **wrong)[0] == "BadDigest"
    done = complete(**where, **listed, ChecksumSHA256="A" * 43 + "=")
    assert done["ChecksumCRC64NVME"] == crc64(b"".join(BODIES))


def test_copied_ranges_count_in_the_checksum_of_the_whole(client: Any) -> None:
    data = b"".join(BODIES)
    client.put_object(Bucket="bucket", Key="source", Body=data)
    where = {"Bucket": "bucket", "Key": "copied"}
    where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
    parts = []
    for number, span in enumerate((f"0-{5 * MIB - 1}", f"{5 * MIB}-{len(data) - 1}"), 1):
        source = {"CopySource": "bucket/source", "CopySourceRange": f"bytes={span}"}
        part = client.upload_part_copy(**where, PartNumber=number, **source)["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    done = client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert done["ChecksumCRC64NVME"] == crc64(data)


def test_the_parts_of_an_object_keep_their_checksums(client: Any) -> None:
    where, parts = upload(client, ChecksumAlgorithm="CRC32")
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    name = {"Bucket": "bucket", "Key": "k"}
    found = client.get_object_attributes(**name, ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert [part["ChecksumCRC32"] for part in found["Parts"]] == [crc32(body) for body in BODIES]
    for number, body in enumerate(BODIES, 1):
        got = client.get_object(**name, PartNumber=number, ChecksumMode="ENABLED")
        assert (got["ChecksumCRC32"], got["ChecksumType"]) == (crc32(body), "COMPOSITE")
        assert got["Body"].read() == body
    asked = {"PartNumber": 1, "ChecksumMode": "DISABLED"}
    assert "ChecksumCRC32" not in client.head_object(**name, **asked)


def test_a_part_without_a_checksum_is_refused_where_they_are_combined(client: Any) -> None:
    where = {"Bucket": "bucket", "Key": "k"}
    combined = client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    part = {**where, "PartNumber": 1, "Body": b"x"}
    code, message = refusal(client.upload_part, **part, UploadId=combined)
    assert (code, "expected checksum Type: sha256" in message) == ("InvalidRequest", True)
