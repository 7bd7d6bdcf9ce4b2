"""Additional checksums: values, headers, refusals in AWS's words, multipart arithmetic."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3 import checksums
from trilith.s3.checksums import ALGORITHMS, Announced
from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead

CRCS = [algorithm for algorithm in ALGORITHMS.values() if algorithm.polynomial is not None]
NAMES = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


def head(**headers: str) -> RequestHead:
    wire = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return RequestHead("PUT", b"/b/k", b"", wire)


def announced(**headers: str) -> Announced | None:
    return checksums.announced_checksum(head(**headers))


def refusal(**headers: str) -> S3Error:
    with pytest.raises(S3Error) as caught:
        announced(**headers)
    return caught.value


def digest(name: str, data: bytes) -> bytes:
    hasher = ALGORITHMS[name].new()
    hasher.update(data)
    return hasher.digest()


def slow_crc(data: bytes, width: int, reflected: int) -> int:
    """Bit by bit, as the definition says."""
    ones = (1 << width) - 1
    value = ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (reflected if value & 1 else 0)
    return value ^ ones


# Check values of the catalogue of parametrised CRC algorithms, for "123456789".
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("SHA1", hashlib.sha1(b"123456789").hexdigest()),
        ("SHA256", hashlib.sha256(b"123456789").hexdigest()),
        ("SHA512", hashlib.sha512(b"123456789").hexdigest()),
        ("MD5", hashlib.md5(b"123456789").hexdigest()),
        ("XXHASH64", "8cb841db40e6ae83"),
    ],
)
def test_each_algorithm_has_its_published_value(name: str, expected: str) -> None:
    assert digest(name, b"123456789").hex() == expected


@pytest.mark.parametrize("name", ALGORITHMS)
def test_digests_have_the_length_that_values_are_checked_for(name: str) -> None:
    assert len(digest(name, b"")) == ALGORITHMS[name].digest_bytes


@given(st.sampled_from(CRCS), st.binary(max_size=200), st.integers(0))
def test_crcs_agree_with_the_definition_however_they_are_fed(algorithm, data, cut) -> None:
    hasher = algorithm.new()
    position = cut % (len(data) + 1)
    hasher.update(data[:position])
    hasher.update(memoryview(data)[position:])
    polynomial = algorithm.polynomial
    expected = slow_crc(data, polynomial.width, polynomial.reflected)
    assert int.from_bytes(hasher.digest(), "big") == expected


@given(st.sampled_from(CRCS), st.lists(st.binary(max_size=2000), max_size=8))
def test_combined_crcs_are_the_crc_of_the_concatenation(algorithm, parts: list[bytes]) -> None:
    facts = [(digest(algorithm.name, part), len(part)) for part in parts]
    whole = checksums.checksum_of(algorithm, b"".join(parts))
    assert checksums.full_object_checksum(algorithm, facts) == whole


def test_crcs_of_large_parts_combine() -> None:
    parts = [bytes([i]) * (5 << 20) for i in range(3)] + [b"tail"]
    for algorithm in CRCS:
        facts = [(digest(algorithm.name, part), len(part)) for part in parts]
        whole = checksums.checksum_of(algorithm, b"".join(parts))
        assert checksums.full_object_checksum(algorithm, facts) == whole


def test_combining_agrees_with_zeros_far_beyond_memory() -> None:
    # Appending 5 TiB of zeros in one step is the same as in two.
    for algorithm in CRCS:
        polynomial = algorithm.polynomial
        assert polynomial is not None
        half = 5 << 39
        zeros = polynomial.combine(0x1234, 0, half)
        assert polynomial.combine(zeros, 0, half) == polynomial.combine(0x1234, 0, 2 * half)


def test_a_composite_checksum_is_the_digest_of_digests_with_the_count() -> None:
    digests = [digest("SHA256", b"one"), digest("SHA256", b"two")]
    checksum = checksums.composite_checksum(ALGORITHMS["SHA256"], digests)
    expected = b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    assert (checksum.value, checksum.kind) == (f"{expected}-2", "COMPOSITE")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_value_header_is_announced_as_its_digest(name: str) -> None:
    value = digest(name, b"hello")
    header = {f"x_amz_checksum_{name.lower()}": b64encode(value).decode()}
    found = announced(**header, x_amz_sdk_checksum_algorithm=name)
    assert found == Announced(ALGORITHMS[name], value)


def test_nothing_announced_is_none() -> None:
    assert announced(content_type="text/plain", x_amz_checksum_mode="ENABLED") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_trailer_announces_a_checksum_to_come(name: str) -> None:
    found = announced(x_amz_trailer=f" X-Amz-Checksum-{name} ", x_amz_sdk_checksum_algorithm=name)
    assert found == Announced(ALGORITHMS[name], None)


@pytest.mark.parametrize("value", ["", "AAAA", "AAAAAAAA", "not base64!", "AAAAAA", "AA AAAA=="])
def test_a_bad_value_is_refused_by_its_headers_name(value: str) -> None:
    error = refusal(x_amz_checksum_crc32=value)
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert error.message == "Value for x-amz-checksum-crc32 header is invalid."


def test_several_checksums_are_refused() -> None:
    crc = b64encode(zlib.crc32(b"").to_bytes(4, "big")).decode()
    for headers in (
        {"x_amz_checksum_crc32": crc, "x_amz_checksum_crc32c": crc},
        {"x_amz_checksum_crc32": crc, "x_amz_trailer": "x-amz-checksum-crc32"},
        {"x_amz_trailer": "x-amz-checksum-crc32, x-amz-checksum-sha1"},
    ):
        assert refusal(**headers).message == (
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x_amz_sdk_checksum_algorithm": "CRC99"}, "sdk-checksum-algorithm header is invalid"),
        ({"x_amz_sdk_checksum_algorithm": "CRC32"}, "no corresponding x-amz-checksum-*"),
        (
            {"x_amz_sdk_checksum_algorithm": "SHA1", "x_amz_checksum_crc32": "AAAAAA=="},
            "Value for x-amz-sdk-checksum-algorithm header is invalid.",
        ),
        ({"x_amz_trailer": "x-amz-meta-a"}, "x-amz-trailer header is not supported"),
        ({"x_amz_checksum_crc31": "AAAAAA=="}, "x-amz-checksum-crc31"),
    ],
)
def test_headers_that_contradict_each_other_are_refused(
    headers: dict[str, str], message: str
) -> None:
    error = refusal(**headers)
    assert error.code == "InvalidRequest"
    assert message in error.message


def test_content_md5_is_16_bytes_or_refused() -> None:
    value = b64encode(hashlib.md5(b"hello").digest()).decode()
    assert checksums.parse_content_md5(head(content_md5=value)) == hashlib.md5(b"hello").digest()
    assert checksums.parse_content_md5(head()) is None
    for bad in ("", "abc", "AAAA", value + "AAAA", "é"):
        with pytest.raises(S3Error, match="InvalidDigest"):
            checksums.parse_content_md5(head(content_md5=bad))


def test_mismatches_are_told_in_awss_words() -> None:
    error = checksums.digest_mismatch(ALGORITHMS["CRC32"])
    assert (error.code, error.message) == (
        "BadDigest",
        "The CRC32 you specified did not match the calculated checksum.",
    )
    error = checksums.content_md5_mismatch(b"\0" * 16, b"\1" * 16)
    assert error.message == "The Content-MD5 you specified did not match what we received."
    assert set(error.elements) == {"CalculatedDigest", "ExpectedDigest"}


@pytest.mark.parametrize(
    ("name", "requested", "expected"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32C", None, "COMPOSITE"),
        ("SHA256", None, "COMPOSITE"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC32", "COMPOSITE", "COMPOSITE"),
        ("CRC64NVME", "COMPOSITE", None),
        ("SHA1", "FULL_OBJECT", None),
        ("CRC32", "PARTIAL", None),
    ],
)
def test_multipart_checksum_types_follow_the_algorithm(
    name: str, requested: str | None, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(S3Error, match="InvalidRequest"):
            checksums.multipart_kind(ALGORITHMS[name], requested)
    else:
        assert checksums.multipart_kind(ALGORITHMS[name], requested) == expected
