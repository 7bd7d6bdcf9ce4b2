"""Where the object model's records live: families and logical keys.

Keyspace 1 (system): families BUCKET and SETTINGS, logical key = the bucket's name in UTF-8.

Keyspace 2 (objects): everything that belongs to one object key starts with the same *stem*,

    stem = bucket id (16 bytes, random) + escape_bytes(key in UTF-8)

so that a range partition never tears an object from its uploads and manifests. `escape_bytes`
keeps UTF-8 byte order and ends with 00 01; hence all records of key K sort before those of any
longer key that starts with K. Suffixes per family (integers big-endian):

    OBJECT    stem + version (8 bytes; zeros are the null version, others will be inverse versions)
    INLINE    stem + version                      sealed body of a small object
    UPLOAD    stem + upload id (16)
    PART      stem + upload id + part number (2)
    PARTS     stem + owner (16) + offset (8)      pages of a completed object's part list
    SEGMENT   stem + owner (16) + offset (8)      manifest segments: chunk references
    PENDING   stem + owner (16)                   manifests written ahead of their commit
    RELEASED  stem + owner (16)                   manifests without a referrer, to be collected
    REPAIR    stem + escape_bytes(zone) + chunk id (32)
    FENCE     any logical key of the bucket that lies in the partition (see rules/fence.py)
    LOCK      stem                                an object that a transaction will change

An *owner* is the 16-byte id under which a manifest was written: the version id of an object, or
the token of an uploaded part. `offset` is the first byte that the segment or page covers within
its owner, so that one reverse seek finds what holds a given byte.

Commands and queries of one object key are routed by its stem, exactly: replicas know by that key
which reads must wait for which writes in flight. Partitions are to be split at stems only.
"""

from __future__ import annotations

from trilith_native.codec import escape_bytes, unescape_bytes

SYSTEM_KEYSPACE = 1
OBJECTS_KEYSPACE = 2

BUCKET = 0x01  # keyspace 1
SETTINGS = 0x02  # keyspace 1

OBJECT = 0x01
INLINE = 0x02
UPLOAD = 0x03
PART = 0x04
PARTS = 0x05
SEGMENT = 0x06
PENDING = 0x07
RELEASED = 0x08
REPAIR = 0x09
FENCE = 0x0A
LOCK = 0x0B

BUCKET_ID_SIZE = 16
OWNER_SIZE = 16
NULL_VERSION = bytes(8)
KEYSPACE_END = b"\xff" * 24  # above every logical key: bucket ids are random
_AFTER_STEM = b"\x00\x02"  # sorts after every suffix of a stem, before every longer key


def stem_of(bucket_id: bytes, key: str) -> bytes:
    """The common start of all records of an object key; also its routing key."""
    return bucket_id + escape_bytes(key.encode())


def key_of(stem: bytes) -> bytes:
    """The object key (UTF-8) of a logical key that starts with a stem."""
    return unescape_bytes(stem, BUCKET_ID_SIZE)[0]


def stem_end(logical_key: bytes) -> int:
    """Where the stem of a logical key ends: the offset of its suffix."""
    return unescape_bytes(logical_key, BUCKET_ID_SIZE)[1]


def successor(prefix: bytes) -> bytes:
    """The least byte string above everything that starts with `prefix`."""
    trimmed = prefix.rstrip(b"\xff")
    if not trimmed:
        return KEYSPACE_END
    return trimmed[:-1] + bytes((trimmed[-1] + 1,))


def bucket_range(bucket_id: bytes) -> tuple[bytes, bytes]:
    return bucket_id, successor(bucket_id)


def open_stem(bucket_id: bytes, prefix: bytes) -> bytes:
    """What the logical keys of all object keys starting with `prefix` start with."""
    return bucket_id + escape_bytes(prefix)[:-2]


def after_key(bucket_id: bytes, key: bytes) -> bytes:
    """The least logical key above all records of an object key and below those of later keys."""
    return open_stem(bucket_id, key) + _AFTER_STEM


def part_key(stem: bytes, upload_id: bytes, number: int) -> bytes:
    return stem + upload_id + number.to_bytes(2, "big")


def owned_key(stem: bytes, owner: bytes, offset: int) -> bytes:
    """Key of a manifest segment or of a page of a part list."""
    return stem + owner + offset.to_bytes(8, "big")


def owned_range(stem: bytes, owner: bytes, first_offset: int = 0) -> tuple[bytes, bytes]:
    """The range of an owner's segments (or pages) from an offset on."""
    return owned_key(stem, owner, first_offset), stem + owner + b"\xff" * 9


def repair_key(stem: bytes, zone: str, chunk_id: bytes) -> bytes:
    return stem + escape_bytes(zone.encode()) + chunk_id


def split_repair_key(logical_key: bytes) -> tuple[str, bytes]:
    """Zone and chunk id of a repair entry's key."""
    zone, end = unescape_bytes(logical_key, stem_end(logical_key))
    return zone.decode(), logical_key[end:]
