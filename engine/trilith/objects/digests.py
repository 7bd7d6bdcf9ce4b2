"""The digests of S3's additional checksums, and those that the engine computes itself: for copies
that must state a new one.

Values are base64 of the big-endian digest, as S3 writes them.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Protocol

import xxhash

from trilith.errors import InvalidRequest
from trilith.objects.types import Checksum
from trilith.runtime.disk import Buffer
from trilith_native.crc import crc32c, crc64nvme

DEFAULT_ALGORITHM = "CRC64NVME"  # what S3 computes when nobody asks for another


class Digest(Protocol):
    def update(self, data: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A CRC function with hashlib's interface."""

    __slots__ = ("_function", "_size", "_value")

    def __init__(self, function: Callable[[Buffer, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


DIGESTS: dict[str, Callable[[], Digest]] = {
    "CRC32": lambda: _Crc(zlib.crc32, 4),
    "CRC32C": lambda: _Crc(crc32c, 4),
    "CRC64NVME": lambda: _Crc(crc64nvme, 8),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": lambda: hashlib.sha256(usedforsecurity=False),
    "SHA512": lambda: hashlib.sha512(usedforsecurity=False),
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "XXHASH64": xxhash.xxh64,
    "XXHASH3": xxhash.xxh3_64,
    "XXHASH128": xxhash.xxh3_128,
}


class RunningChecksum:
    """A full-object checksum of what passes through."""

    def __init__(self, algorithm: str) -> None:
        if algorithm not in DIGESTS:
            raise InvalidRequest(f"unknown checksum algorithm {algorithm}")
        self._algorithm = algorithm
        self._digest = DIGESTS[algorithm]()

    def update(self, data: Buffer) -> None:
        self._digest.update(data)

    def result(self) -> Checksum:
        return Checksum(self._algorithm, base64.b64encode(self._digest.digest()).decode())
