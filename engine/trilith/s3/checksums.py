"""S3's additional checksums and Content-MD5: algorithms, headers, multipart arithmetic.

Source: S3 User Guide, "Checking object integrity". Values travel as base64 of the big-endian
digest. A multipart object's checksum is COMPOSITE (digest of the parts' digests, with `-N`) or, for
CRCs, FULL_OBJECT (the CRC of all the bytes, combined from the parts').
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trilith.objects.digests import DEFAULT_ALGORITHM, DIGESTS, Digest
from trilith.objects.types import Checksum
from trilith.s3 import crc_combine
from trilith.s3.crc_combine import Polynomial
from trilith.s3.errors import S3Error
from trilith.s3.request_head import RequestHead

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"

Buffer = bytes | bytearray | memoryview

# Headers under the same prefix that do not carry a value.
_NOT_VALUES = frozenset(
    {b"x-amz-checksum-algorithm", b"x-amz-checksum-mode", b"x-amz-checksum-type"}
)
_PREFIX = b"x-amz-checksum-"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """`polynomial` is set for CRCs, which alone have full-object checksums of multipart objects."""

    name: str
    digest_bytes: int
    new: Callable[[], Digest]
    polynomial: Polynomial | None = None
    composite: bool = True

    @property
    def header(self) -> str:
        return f"x-amz-checksum-{self.name.lower()}"


def _algorithm(
    name: str, digest_bytes: int, polynomial: Polynomial | None = None, *, composite: bool = True
) -> Algorithm:
    return Algorithm(name, digest_bytes, DIGESTS[name], polynomial, composite)


ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        _algorithm("CRC32", 4, crc_combine.CRC32),
        _algorithm("CRC32C", 4, crc_combine.CRC32C),
        _algorithm("CRC64NVME", 8, crc_combine.CRC64NVME, composite=False),
        _algorithm("SHA1", 20),
        _algorithm("SHA256", 32),
        _algorithm("SHA512", 64),
        _algorithm("MD5", 16),
        _algorithm("XXHASH64", 8),
        _algorithm("XXHASH3", 8),
        _algorithm("XXHASH128", 16),
    )
}
DEFAULT_CHECKSUM = ALGORITHMS[DEFAULT_ALGORITHM]
_BY_HEADER = {algorithm.header.encode(): algorithm for algorithm in ALGORITHMS.values()}


@dataclass(frozen=True, slots=True)
class Announced:
    """The checksum that a request announces; `digest` is None when it follows in the trailer."""

    algorithm: Algorithm
    digest: bytes | None


def announced_checksum(head: RequestHead) -> Announced | None:
    """From x-amz-checksum-*, x-amz-trailer and x-amz-sdk-checksum-algorithm. Raises S3Error."""
    header_map = head.header_map
    found: Announced | None = None
    for name in header_map:
        if name[:15] == _PREFIX and name not in _NOT_VALUES:
            if found is not None:
                raise several_checksums()
            algorithm = _BY_HEADER.get(name)
            if algorithm is None:
                raise S3Error(
                    "InvalidRequest", f"The header '{name.decode('latin-1')}' is not a checksum."
                )
            found = Announced(algorithm, parse_digest(algorithm, head.header(name) or ""))
    if b"x-amz-trailer" in header_map:
        trailing = _trailing_algorithm(head)
        if trailing is not None:
            if found is not None:
                raise several_checksums()
            found = Announced(trailing, None)
    if b"x-amz-sdk-checksum-algorithm" in header_map:
        _check_sdk_algorithm(head.header(b"x-amz-sdk-checksum-algorithm") or "", found)
    return found


def trailer_names(head: RequestHead) -> list[bytes]:
    """The lower-case names that x-amz-trailer announces."""
    value = head.header_map.get(b"x-amz-trailer", b"")
    return [name.strip().lower() for name in value.split(b",") if name.strip()]


def _trailing_algorithm(head: RequestHead) -> Algorithm | None:
    found = None
    for name in trailer_names(head):
        algorithm = _BY_HEADER.get(name)
        if algorithm is None:
            raise S3Error(
                "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"
            )
        if found is not None:
            raise several_checksums()
        found = algorithm
    return found


def several_checksums() -> S3Error:
    """Of a request that announces more than one."""
    return S3Error(
        "InvalidRequest",
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )


def _check_sdk_algorithm(name: str, found: Announced | None) -> None:
    if name.upper() not in ALGORITHMS:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    if found is None:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found.",
        )
    if found.algorithm.name != name.upper():
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")


def parse_digest(algorithm: Algorithm, text: str) -> bytes:
    """A checksum value's digest. Raises InvalidRequest in AWS's words."""
    digest = _decode_base64(text)
    if digest is None or len(digest) != algorithm.digest_bytes:
        raise S3Error("InvalidRequest", f"Value for {algorithm.header} header is invalid.")
    return digest


def is_digest(algorithm: Algorithm, text: str) -> bool:
    """Whether a text can be a checksum of this algorithm."""
    digest = _decode_base64(text)
    return digest is not None and len(digest) == algorithm.digest_bytes


def parse_content_md5(head: RequestHead) -> bytes | None:
    """Content-MD5's 16 bytes, None when absent. Raises InvalidDigest."""
    text = head.header(b"content-md5")
    if text is None:
        return None
    digest = _decode_base64(text)
    if digest is None or len(digest) != 16:
        raise S3Error("InvalidDigest", elements={"Content-MD5": text})
    return digest


def _decode_base64(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def encode_digest(digest: bytes) -> str:
    return b64encode(digest).decode()


def digest_mismatch(algorithm: Algorithm) -> S3Error:
    return S3Error(
        "BadDigest", f"The {algorithm.name} you specified did not match the calculated checksum."
    )


def content_md5_mismatch(expected: bytes, calculated: bytes) -> S3Error:
    return S3Error(
        "BadDigest",
        elements={"CalculatedDigest": encode_digest(calculated), "ExpectedDigest": expected.hex()},
    )


def parse_algorithm(name: str, header: str = "x-amz-checksum-algorithm") -> Algorithm:
    """An algorithm by the name that a header or element gives it."""
    algorithm = ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise S3Error("InvalidRequest", f"Value for {header} header is invalid.")
    return algorithm


def parse_kind(text: str) -> str:
    """FULL_OBJECT or COMPOSITE, of x-amz-checksum-type. Raises InvalidRequest."""
    kind = text.upper()
    if kind not in {FULL_OBJECT, COMPOSITE}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    return kind


def multipart_kind(algorithm: Algorithm, requested: str | None) -> str:
    """The checksum type of a multipart object: x-amz-checksum-type, or the algorithm's default."""
    if requested is None:
        return COMPOSITE if algorithm.composite else FULL_OBJECT
    kind = parse_kind(requested)
    supported = algorithm.composite if kind == COMPOSITE else algorithm.polynomial is not None
    if not supported:
        raise S3Error(
            "InvalidRequest",
            f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} checksum "
            "algorithm.",
        )
    return kind


def composite_checksum(algorithm: Algorithm, digests: Sequence[bytes]) -> Checksum:
    """The checksum of a multipart object's parts' digests, in part order."""
    hasher = algorithm.new()
    hasher.update(b"".join(digests))
    value = f"{encode_digest(hasher.digest())}-{len(digests)}"
    return Checksum(algorithm.name, value, COMPOSITE)


def full_object_checksum(algorithm: Algorithm, parts: Sequence[tuple[bytes, int]]) -> Checksum:
    """The CRC of the whole from (digest, length in bytes) of each part, in part order."""
    polynomial = algorithm.polynomial
    if polynomial is None:
        raise ValueError(f"{algorithm.name} has no full-object checksum of parts")
    combined = 0  # the CRC of no bytes
    for digest, length in parts:
        combined = polynomial.combine(combined, int.from_bytes(digest, "big"), length)
    return Checksum(
        algorithm.name, encode_digest(combined.to_bytes(algorithm.digest_bytes, "big")), FULL_OBJECT
    )


def checksum_of(algorithm: Algorithm, data: Buffer) -> Checksum:
    """The full-object checksum of bytes at hand."""
    hasher = algorithm.new()
    hasher.update(data)
    return Checksum(algorithm.name, encode_digest(hasher.digest()), FULL_OBJECT)
