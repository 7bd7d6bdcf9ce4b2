"""Bytes that were stored: records of the models, log entries, descriptors, locations."""

from __future__ import annotations

import msgspec
from tests.fuzz.target import Choices, target

from trilith.chunks.types import ChunkRef
from trilith.errors import Corruption
from trilith.objects import records
from trilith.objects.manifest import open_segment, seal_segment
from trilith.replication import descriptor, entry
from trilith.storage.extent import extent_number
from trilith.storage.segment import segment_number
from trilith.tables.changes import CHANGE_RECORD, HEAD_RECORD, SHARD_RECORD
from trilith.tables.definitions import TABLE_RECORD
from trilith.transactions.records import LEDGER_RECORD, LOCK_RECORD, USED_TOKEN

CODECS = (
    records.UPLOAD_RECORD,
    records.PART_RECORD,
    records.PART_LIST_PAGE,
    records.SEGMENT_RECORD,
    records.PENDING_RECORD,
    records.RELEASED_RECORD,
    records.FENCE_RECORD,
    records.REPAIR_RECORD,
    records.BUCKET_RECORD,
    CHANGE_RECORD,
    HEAD_RECORD,
    SHARD_RECORD,
    TABLE_RECORD,
    LOCK_RECORD,
    LEDGER_RECORD,
    USED_TOKEN,
    records.SETTINGS_RECORD,
)
DEEP = b"\x91" * 1500


@target(words=(DEEP, b"\1\0", b"\1\x93", b"\xa1\xff", b"\xc4\1a", b"\xcb" + b"\x7f" * 8))
def object_records(data: bytes) -> None:
    """A record is what was encoded, or Corruption; never any other error."""
    choices = Choices(data)
    codec = choices.pick(CODECS)
    raw = choices.rest()
    try:
        decoded = codec.decode(raw)
    except Corruption:
        pass
    else:
        assert codec.decode(codec.encode(decoded)) == decoded
    objects = records.OBJECT_RECORD
    try:
        kind, record = objects.kind(raw), objects.decode(raw)
        listed = objects.decode_listed(raw)
    except Corruption:
        return
    assert (listed.size, listed.etag) == (record.size, record.etag)
    assert objects.decode(objects.encode(records.Kind(kind), record)) == record


@target(native=True)
def manifest_segments(data: bytes) -> None:
    """Chunk references come back as they were sealed, or as Corruption."""
    choices = Choices(data)
    key, owner, offset = b"k" * 32, choices.bytes(16), choices.integer(0, 2**40)
    place, mask = choices.integer(0, 65535), choices.integer(0, 255)
    references = [
        ChunkRef(choices.bytes(32).ljust(32), b"x" * 32, choices.integer(0, 2**32 - 1))
        for _ in range(choices.integer(1, 5))
    ]
    segment = seal_segment(key, owner, offset, references)
    assert open_segment(key, owner, segment) == references
    raw = bytearray(records.SEGMENT_RECORD.encode(segment))
    raw[place % len(raw)] ^= mask
    try:
        damaged = records.SEGMENT_RECORD.decode(bytes(raw))
        assert open_segment(key, owner, damaged) == references
    except Corruption:
        pass
    try:
        open_segment(key, owner, records.Segment(offset, 1, choices.bytes(64), choices.rest()))
    except Corruption:
        return
    raise AssertionError("forged")


@target(words=(DEEP, b"\x92\x90\xc4\0", b"\xa1\xff"))
def log_entries(data: bytes) -> None:
    """What is no entry is refused with msgspec's error; what is one comes back the same."""
    try:
        found = entry.decode_entry(1, 1, data)
    except msgspec.MsgspecError:
        pass
    else:
        try:
            operations = found.effects()
        except ValueError:
            return
        assert entry.encode_payload(found.keys, operations, found.split)[1] == found.batch
    try:
        applied = entry.decode_applied(data)
    except msgspec.MsgspecError:
        return
    assert entry.decode_applied(entry.encode_applied(applied.index, applied.epoch)) == applied


DESCRIPTOR = descriptor.encode(
    descriptor.Descriptor(
        partition_id=1,
        keyspace=2,
        start="",
        end="ff",
        replicas={"az1": "a", "az2": "b"},
        leader="a",
        epoch=1,
        in_sync=["a", "b"],
    )
)


@target(words=(DESCRIPTOR, b'"start":"0"', b"[" * 1500, b"\xff", b"\\ud800", b'"end":"zz"'))
def partition_descriptors(data: bytes) -> None:
    try:
        found = descriptor.decode(data)
    except msgspec.MsgspecError:
        return
    assert descriptor.decode(descriptor.encode(found)) == found


@target(words=(b".seg", b".ext", b"0000000001", "²".encode(), "٣".encode()))
def file_names(data: bytes) -> None:
    """A stray file in a directory is no segment and no extent, and no error."""
    name = data.decode("utf-8", "surrogateescape")
    for number, suffix in ((segment_number(name), "seg"), (extent_number(name), "ext")):
        assert number is None or (number >= 0 and name.endswith(f"{number}.{suffix}"))
