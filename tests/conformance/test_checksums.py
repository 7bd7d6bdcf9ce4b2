"""Content-MD5 and the additional checksums, as SDKs send them by default and on request."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Server
from .crc import crc32c, crc64nvme
from .refusals import refused
from .trees import MIB, random_bytes
from .wire import Caller

CHECK = b"123456789"  # the catalogue's check values prove the oracles below


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def test_the_test_s_own_checksums_have_the_catalogue_s_values() -> None:
    assert ALGORITHMS["CRC32"](CHECK).hex() == "cbf43926"
    assert ALGORITHMS["CRC32C"](CHECK).hex() == "e3069283"
    assert ALGORITHMS["CRC64NVME"](CHECK).hex() == "ae8b14860a799888"


@pytest.mark.parametrize("size", [0, 1000, 3 * MIB])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_verified_stored_and_returned(
    s3: Any, bucket: str, algorithm: str, size: int
) -> None:
    body = random_bytes(size, seed=size)
    field, value = f"Checksum{algorithm}", encoded(ALGORITHMS[algorithm](body))
    put = s3.put_object(Bucket=bucket, Key="o", Body=body, **{field: value})
    assert put[field] == value
    for read in (s3.get_object, s3.head_object):
        answer = read(Bucket=bucket, Key="o", ChecksumMode="ENABLED")
        assert answer[field] == value
        assert answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    (entry,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert entry.get("ChecksumAlgorithm", [algorithm]) == [algorithm]


@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_is_refused_and_nothing_is_stored(
    s3: Any, bucket: str, algorithm: str, size: int
) -> None:
    value = encoded(ALGORITHMS[algorithm](b"something else"))
    with refused("BadDigest", 400):
        s3.put_object(
            Bucket=bucket,
            Key="o",
            Body=random_bytes(size),
            **{f"Checksum{algorithm}": value},
        )
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="o")


@pytest.mark.parametrize("value", ["", "not base64!", "AAAA", encoded(b"12345")])
def test_a_malformed_checksum_is_refused(caller: Caller, bucket: str, value: str) -> None:
    answer = caller.call(
        "PUT", f"/{bucket}/o", headers={"x-amz-checksum-crc32": value}, body=b"body"
    )
    assert (answer.status, answer.error_code) == (400, "InvalidRequest")


def test_a_wrong_md5_is_refused(s3: Any, bucket: str) -> None:
    md5 = encoded(hashlib.md5(b"something else").digest())
    for body in (b"body", random_bytes(2 * MIB)):
        with refused("BadDigest", 400):
            s3.put_object(Bucket=bucket, Key="o", Body=body, ContentMD5=md5)
    with refused("404", 404):
        s3.head_object(Bucket=bucket, Key="o")
    s3.put_object(
        Bucket=bucket, Key="o", Body=b"body", ContentMD5=encoded(hashlib.md5(b"body").digest())
    )


@pytest.mark.parametrize("value", ["short", "not base64!", encoded(b"x" * 15)])
def test_a_malformed_md5_is_refused(caller: Caller, bucket: str, value: str) -> None:
    answer = caller.call("PUT", f"/{bucket}/o", headers={"content-md5": value}, body=b"body")
    assert (answer.status, answer.error_code) == (400, "InvalidDigest")


def test_a_body_other_than_the_signed_one_is_refused(caller: Caller, bucket: str) -> None:
    for size in (10, 2 * MIB):
        answer = caller.call(
            "PUT",
            f"/{bucket}/o",
            body=random_bytes(size),
            payload_hash=hashlib.sha256(b"something else").hexdigest(),
        )
        assert (answer.status, answer.error_code) == (400, "XAmzContentSHA256Mismatch")
    assert caller.call("GET", f"/{bucket}/o").status == 404


def test_the_sdk_s_default_checksum_is_kept(s3: Any, bucket: str) -> None:
    """boto3 adds a CRC32 or a CRC64NVME of its own; what it verifies on GET must be that one."""
    put = s3.put_object(Bucket=bucket, Key="o", Body=b"body")
    got = s3.get_object(Bucket=bucket, Key="o", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"body"
    sent = {name: value for name, value in put.items() if name.startswith("Checksum")}
    assert sent
    assert {name: got[name] for name in sent} == sent


def test_a_client_that_sends_checksums_only_when_required_works(
    server: Server, bucket: str
) -> None:
    s3 = server.client(
        request_checksum_calculation="when_required", response_checksum_validation="when_required"
    )
    body = random_bytes(200_000)
    s3.put_object(Bucket=bucket, Key="o", Body=body)
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == body
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "o"}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def put_checked_parts(
    s3: Any, bucket: str, upload: str, bodies: list[bytes], algorithm: str
) -> list[dict[str, Any]]:
    field, parts = f"Checksum{algorithm}", []
    for number, body in enumerate(bodies, 1):
        value = encoded(ALGORITHMS[algorithm](body))
        answer = s3.upload_part(
            Bucket=bucket, Key="o", UploadId=upload, PartNumber=number, Body=body, **{field: value}
        )
        assert answer[field] == value
        parts.append({"PartNumber": number, "ETag": answer["ETag"], field: value})
    return parts


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_multipart_object_has_the_composite_checksum(
    s3: Any, bucket: str, algorithm: str
) -> None:
    compute, field = ALGORITHMS[algorithm], f"Checksum{algorithm}"
    bodies = [random_bytes(5 * MIB, 1), random_bytes(1000, 2)]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="o", ChecksumAlgorithm=algorithm, ChecksumType="COMPOSITE"
    )["UploadId"]
    parts = put_checked_parts(s3, bucket, upload, bodies, algorithm)
    answer = s3.complete_multipart_upload(
        Bucket=bucket, Key="o", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    composite = encoded(compute(b"".join(map(compute, bodies)))) + "-2"
    assert answer[field] == composite
    head = s3.head_object(Bucket=bucket, Key="o", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (composite, "COMPOSITE")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_multipart_object_has_the_full_object_checksum(
    s3: Any, bucket: str, algorithm: str
) -> None:
    compute, field = ALGORITHMS[algorithm], f"Checksum{algorithm}"
    bodies = [random_bytes(5 * MIB, 1), random_bytes(1000, 2)]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="o", ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT"
    )["UploadId"]
    parts = put_checked_parts(s3, bucket, upload, bodies, algorithm)
    whole = encoded(compute(b"".join(bodies)))
    arguments = {
        "Bucket": bucket,
        "Key": "o",
        "UploadId": upload,
        "ChecksumType": "FULL_OBJECT",
        "MultipartUpload": {"Parts": parts},
    }
    with refused("BadDigest", 400):
        s3.complete_multipart_upload(**arguments, **{field: encoded(compute(b"else"))})
    assert s3.complete_multipart_upload(**arguments, **{field: whole})[field] == whole
    head = s3.head_object(Bucket=bucket, Key="o", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_a_part_with_a_wrong_checksum_is_refused(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="o", ChecksumAlgorithm="SHA256")
    with refused("BadDigest", 400):
        s3.upload_part(
            Bucket=bucket,
            Key="o",
            UploadId=upload["UploadId"],
            PartNumber=1,
            Body=b"body",
            ChecksumSHA256=encoded(hashlib.sha256(b"else").digest()),
        )
