"""How the models store a record of one type: a version byte, then msgpack of an array."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from trilith.errors import Corruption
from trilith.undecodable import UNDECODABLE

T = TypeVar("T")
_VERSION = b"\x01"


class RecordCodec(Generic[T]):
    """Encodes one record type and decodes all its versions so far (one)."""

    def __init__(self, record_type: type[T]) -> None:
        self._name = record_type.__name__
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(record_type).decode

    def encode(self, record: T) -> bytes:
        return _VERSION + self._encode(record)

    def decode(self, raw: bytes) -> T:
        """Raises Corruption for bytes that are no such record or of an unknown version."""
        if raw[:1] != _VERSION:
            raise Corruption(f"{self._name} of unknown version {raw[:1].hex()}")
        try:
            return self._decode(memoryview(raw)[1:])
        except UNDECODABLE as error:
            raise Corruption(f"{self._name} does not decode: {error}") from error
