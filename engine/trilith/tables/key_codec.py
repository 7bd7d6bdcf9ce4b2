r"""Where an item lives: order-preserving bytes of its primary key.

    logical key = prefix + token (8 bytes) + escape(partition key) + sort key

`prefix` names the table or index, the token is the xxh3-64 hash of the partition key's bytes, so
that a table's items spread evenly over its range, which splits anywhere. Within a partition key,
items are in the order of their sort keys: S by UTF-8 bytes, B by unsigned bytes, N numerically.
The sort key is the last part and is not escaped; an item of a table without one ends before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from xxhash import xxh3_64_digest, xxh3_64_intdigest

from trilith.tables import numbers
from trilith.tables.values import Value
from trilith_native.codec import escape_bytes, unescape_bytes

TOKEN_SIZE = 8
TOKEN_END = 1 << 64
PARTITION_KEY_BYTES_MAX = 2048
SORT_KEY_BYTES_MAX = 1024


def encode_key_value(value: Value) -> bytes:
    """A key attribute's value (S, N or B) as bytes in its order."""
    for kind, content in value.items():
        if kind == "S":
            return content.encode()  # type: ignore[no-any-return]
        if kind == "N":
            return numbers.encode(content)
        return content  # type: ignore[no-any-return]  # B
    raise ValueError("an empty value")


def joined(values: Sequence[Value]) -> Value:
    """The value of a key of several attributes: binary, in the order of the tuples of values. That
    of a key of one attribute is its own.
    """
    if len(values) == 1:
        return values[0]
    return {"B": b"".join([escape_bytes(encode_key_value(value)) for value in values])}


def decode_key_value(kind: str, encoded: bytes) -> Value:
    """The value of type S, N or B whose `encode_key_value` this is."""
    if kind == "S":
        return {"S": encoded.decode()}
    if kind == "N":
        return {"N": numbers.decode(encoded)}
    return {"B": bytes(encoded)}


def token_of(partition_value: Value) -> int:
    """Where in the hash space, [0, 2**64), a partition key is."""
    return xxh3_64_intdigest(encode_key_value(partition_value))


def item_key(prefix: bytes, partition_value: Value, sort_value: Value | None = None) -> bytes:
    """The logical key of an item."""
    stem = partition_stem(prefix, partition_value)
    return stem if sort_value is None else stem + encode_key_value(sort_value)


def index_key(
    prefix: bytes, partition_value: Value, sort_value: Value | None, base_key: bytes
) -> bytes:
    """The logical key of an index entry: several items may have one index key, so the sort key is
    escaped and whatever tells the items apart (`base_key`) follows.
    """
    stem = partition_stem(prefix, partition_value)
    if sort_value is None:
        return stem + base_key
    return stem + escape_bytes(encode_key_value(sort_value)) + base_key


def partition_stem(prefix: bytes, partition_value: Value) -> bytes:
    """What the keys of all items with one partition key start with."""
    text = partition_value.get("S")
    encoded = encode_key_value(partition_value) if text is None else text.encode()
    return prefix + xxh3_64_digest(encoded) + escape_bytes(encoded)  # the token, big-endian


def split_item_key(key: bytes, prefix_size: int) -> tuple[bytes, bytes]:
    """Partition key and sort key bytes of a logical key; the sort key may be empty."""
    partition, end = unescape_bytes(key, prefix_size + TOKEN_SIZE)
    return partition, key[end:]


def token_key(prefix: bytes, token: int) -> bytes:
    """The least logical key at or above a token; `TOKEN_END` gives the end of the table."""
    if token >= TOKEN_END:
        return successor(prefix)
    return prefix + token.to_bytes(TOKEN_SIZE, "big")


def segment_range(prefix: bytes, segment: int, total_segments: int) -> tuple[bytes, bytes]:
    """The key range [start, end) of one segment of a parallel scan."""
    start = segment * TOKEN_END // total_segments
    end = (segment + 1) * TOKEN_END // total_segments
    return token_key(prefix, start), token_key(prefix, end)


def successor(prefix: bytes) -> bytes:
    """The least byte string above everything that starts with `prefix`."""
    trimmed = prefix.rstrip(b"\xff")
    if not trimmed:
        raise ValueError("nothing is above a prefix of 0xFF bytes")
    return trimmed[:-1] + bytes((trimmed[-1] + 1,))
