"""The range of a partition as its own log makes it, and how a log entry splits it (rule 7).

A split is one entry of the parent's log, and all that it does is in the entry's effects, so every
replica does the same at the same index, in one write batch: the parent's range record ends at the
split key, the child has a range record and counts as applied up to that very index and epoch. The
child's log begins there (a RESET in the journal). Nothing moves: records, and the records of
commands that make a retry apply once, lie in the order of their logical keys.

A replica's range is what its range record says; without one, what the partition had at first (an
initial partition), or nothing yet (a child whose parent has not applied the split here: it is
*awaited*, and neither answers nor takes entries). The descriptor's range follows later and is for
routing only.

Invariant on every node: the ranges that its replicas hold do not overlap. Splits keep it; a
snapshot that would break it is refused until the other replica is as far, by its log or by a
snapshot of its own. So no entry from before a split is ever applied over a child's records.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from trilith.replication.state_machine import FAMILY_MAX, View
from trilith.storage.ordered_store import PUT, Operation, OrderedReader

RANGE_PREFIX = b"\x00\x03"  # in the store: partition id -> RangeRecord
TOKEN_FAMILY = 0xF1  # partition id -> the floor; with a token: a result of an earlier version
RESULT_FAMILY = 0xF2  # token's time, routing key, token -> encoded result of a command
TOKEN_TIME_BYTES = 4  # of a token's 48 bits of milliseconds: about a minute


class RangeRecord(msgspec.Struct, frozen=True, array_like=True):
    """[start, end) of logical keys; `end` empty: no bound.

    `generation` grows with every change of the range. `child`, `child_end`: the last split's; it
    begins at `end`. `base_index`, `base_epoch`: the entry that made the partition; 0: none did.

    Of merges (merging.py): `closed`, `closed_epoch`: the entry behind which the partition takes no
    commands any more; 0: it does. `absorbed`: the partition that the last change of the range took
    in, by the entry `absorbed_at`. `absorbed_by`: what was here is that partition's now. `lead` is
    added to an entry's index where sequences are made of it, so that they go on from those of
    whatever was absorbed.
    """

    start: bytes
    end: bytes
    generation: int = 0
    child: int = 0
    child_end: bytes = b""
    base_index: int = 0
    base_epoch: int = 0
    closed: int = 0
    closed_epoch: int = 0
    absorbed: int = 0
    absorbed_at: int = 0
    absorbed_by: int = 0
    lead: int = 0

    def covers(self, key: bytes) -> bool:
        return self.start <= key and (not self.end or key < self.end)

    def covers_to(self, end: bytes) -> bool:
        """Whether the range reaches up to `end` (empty: without bound)."""
        return not self.end or (bool(end) and end <= self.end)

    def overlaps(self, other: RangeRecord) -> bool:
        return (not other.end or self.start < other.end) and (
            not self.end or other.start < self.end
        )


class Split(msgspec.Struct, frozen=True, array_like=True):
    """What an entry says of the range beside its effects: keys from `key` on are the child's."""

    key: bytes
    child: int


class Close(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """The entry after which the partition takes no commands: its neighbour is to absorb it."""


class Absorb(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """The entry that takes in the partition to the right, whose log was closed by an entry."""

    partition: int
    index: int  # of the entry that closed it, and its epoch
    epoch: int
    lead: int  # of sequences, from this entry on


Merge = Close | Absorb  # what an entry says of a merge beside its effects


class Division(Protocol):
    """What a keyspace's models know about where its partitions may be split."""

    route_bytes_max: int  # no boundary is longer
    merges: bool  # whether partitions may be merged again
    anchored: frozenset[int]  # families whose records stay with the left half wherever it is split

    def boundary(self, key: bytes) -> bytes | None:
        """The greatest key at or below `key` that a partition may begin at; None: there is none."""
        ...

    def carried(self, view: View, start: bytes, split_key: bytes) -> list[tuple[int, bytes, bytes]]:
        """(family, logical key, value) that the right child must be given; `view`: the parent's,
        which begins at `start`.
        """
        ...

    def united(
        self, left: View, left_start: bytes, right: View, right_start: bytes
    ) -> list[tuple[int, bytes, bytes]]:
        """(family, logical key, value) that a partition must be given which absorbs another: what
        it has to know although nobody told it.
        """
        ...


_record = msgspec.msgpack.Decoder(RangeRecord)
_encode = msgspec.msgpack.Encoder().encode


def range_key(partition_id: int) -> bytes:
    return RANGE_PREFIX + partition_id.to_bytes(8, "big")


def encode_range(record: RangeRecord) -> bytes:
    return _encode(record)


def decode_range(value: bytes) -> RangeRecord:
    """Raises what `undecodable` lists for what is no range record."""
    return _record.decode(value)


def tombstone(partition_id: int, record: RangeRecord, owner: int) -> Operation:
    """What makes the records of a partition those of another."""
    nothing = RangeRecord(record.start, record.start, record.generation, absorbed_by=owner)
    return PUT, range_key(partition_id), encode_range(nothing)


def floor_key(keyspace: int, partition_id: int) -> bytes:
    """The record of the token below which all are forgotten."""
    return bytes((keyspace, TOKEN_FAMILY)) + partition_id.to_bytes(8, "big")


def legacy_token_key(keyspace: int, partition_id: int, token: bytes) -> bytes:
    """Where earlier versions recorded a command's result."""
    return floor_key(keyspace, partition_id) + token


def result_key(keyspace: int, route: bytes, token: bytes) -> bytes:
    """Where a command's result is recorded. `route`: the first bytes of its routing key."""
    return bytes((keyspace, RESULT_FAMILY)) + token[:TOKEN_TIME_BYTES] + route + token


def result_ranges(
    reader: OrderedReader, keyspace: int, record: RangeRecord, until: bytes = b"\xff" * 8
) -> Iterator[tuple[bytes, bytes]]:
    """Physical ranges of the recorded results of a range whose tokens' times are below `until`.

    One for each minute that has any: found by seeking, so others' records cost one step a minute.
    """
    prefix = bytes((keyspace, RESULT_FAMILY))
    above = bytes((keyspace, RESULT_FAMILY + 1))
    stop = min(prefix + until[:TOKEN_TIME_BYTES], above)
    at = prefix
    while at < stop:
        found = next(iter(reader.scan(at, stop)), None)
        if found is None:
            return
        minute = found[0][: 2 + TOKEN_TIME_BYTES]
        first = minute + record.start
        last = minute + record.end if record.end else _after(minute)
        if found[0] < first:
            at = first
            continue
        if found[0] < last:
            yield first, last
        at = _after(minute)


def _after(prefix: bytes) -> bytes:
    """The least key above everything that starts with `prefix`."""
    number = int.from_bytes(prefix, "big") + 1
    return number.to_bytes(len(prefix), "big")


def ranges_of(
    reader: OrderedReader, keyspace: int, partition_id: int, record: RangeRecord
) -> Iterator[tuple[bytes, bytes]]:
    """Physical key ranges that a partition owns: its range of every family, and its tokens."""
    start, end = record.start, record.end
    for family in range(FAMILY_MAX + 1):
        prefix = bytes((keyspace, family))
        yield prefix + start, prefix + end if end else bytes((keyspace, family + 1))
    yield floor_key(keyspace, partition_id), floor_key(keyspace, partition_id + 1)
    yield from result_ranges(reader, keyspace, record)
