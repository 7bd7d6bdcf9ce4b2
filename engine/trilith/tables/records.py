"""What is stored of tables: versioned records.

The first byte of a record is its format version; a reader accepts all earlier ones. A table's
record is msgpack of a Struct as an array. An item's record, of a base table or of an index, is

    version (1 byte, 1), size (4 bytes), salt (16 bytes), sealed item

and an entry's of a global index

    version (1 byte, 2), size (4 bytes), sequence (8 bytes), salt (16 bytes), sealed item

`size` is AWS's (sizes.py), readable so that pages and capacity are counted without a key; `salt`
and what is sealed: key_ring.py; `sequence`: that of the change of the item that the entry is from.
"""

from __future__ import annotations

from trilith.errors import Corruption

_VERSION = b"\x01"
_VERSION_OF_ENTRY = b"\x02"
_SEALED_AT = 5
_ENTRY_SEALED_AT = 13


def item_record(size: int, sealed: bytes) -> bytes:
    """`sealed` begins with its salt."""
    return _VERSION + size.to_bytes(4, "big") + sealed


def entry_record(record: bytes, sequence: int) -> bytes:
    """An item's record as that of a global index's entry."""
    return (
        _VERSION_OF_ENTRY + record[1:_SEALED_AT] + sequence.to_bytes(8, "big") + sealed_in(record)
    )


def sequence_of_entry(record: bytes) -> int:
    """Raises Corruption for what is no entry."""
    if record[:1] != _VERSION_OF_ENTRY:
        raise Corruption(f"an index entry's record of unknown version {record[:1].hex()}")
    return int.from_bytes(record[_SEALED_AT:_ENTRY_SEALED_AT], "big")


def size_in(record: bytes) -> int:
    """The item's size in bytes, as AWS counts. Raises Corruption for an unknown version."""
    if record[:1] not in (_VERSION, _VERSION_OF_ENTRY):
        raise Corruption(f"an item's record of unknown version {record[:1].hex()}")
    return int.from_bytes(record[1:_SEALED_AT], "big")


def sealed_in(record: bytes) -> bytes:
    """Salt and sealed item."""
    version = record[:1]
    if version == _VERSION:
        return record[_SEALED_AT:]
    if version == _VERSION_OF_ENTRY:
        return record[_ENTRY_SEALED_AT:]
    raise Corruption(f"an item's record of unknown version {version.hex()}")
