"""One log entry: the effects of a batch of commands, and the routing keys that they touch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from trilith.replication.ranges import Absorb, Close, Merge, RangeRecord, Split
from trilith.storage.ordered_store import Operation
from trilith_native.codec import decode_batch, encode_batch

STATE_PREFIX = b"\x00\x02"  # in the store: partition id -> (applied index, epoch of that entry)


class EntryPayload(msgspec.Struct, frozen=True, array_like=True):
    """What the journal keeps of an entry."""

    keys: list[bytes]
    batch: bytes
    split: Split | None = None
    merge: Close | Absorb | None = None


class Applied(msgspec.Struct, frozen=True, array_like=True):
    """The store's record of how far a partition's log is applied, written with the effects."""

    index: int
    epoch: int


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """A logged entry that is not applied yet."""

    index: int
    epoch: int
    keys: list[bytes]
    batch: bytes
    operations: list[Operation] | None  # known on the leader; decoded elsewhere when applied
    split: Split | None = None
    merge: Merge | None = None

    def effects(self) -> list[Operation]:
        return decode_batch(self.batch) if self.operations is None else self.operations


class LoggedRange(NamedTuple):
    """What a partition's range will be; `changes`: how many logged entries change it."""

    end: bytes
    lead: int
    generation: int
    changes: int


def logged_range(record: RangeRecord, pending: Iterable[PendingEntry]) -> LoggedRange:
    """The range without what splits will take away, and without what is yet to be absorbed."""
    end, lead, generation, changes = record.end, record.lead, record.generation, 0
    for entry in pending:
        if entry.split is not None:
            end, generation = entry.split.key, generation + 1
        if isinstance(entry.merge, Absorb):
            lead = max(lead, entry.merge.lead)
        changes += entry.split is not None or entry.merge is not None
    return LoggedRange(end, lead, generation, changes)


_payload = msgspec.msgpack.Decoder(EntryPayload)
_applied = msgspec.msgpack.Decoder(Applied)
_encode = msgspec.msgpack.Encoder().encode


def encode_payload(
    keys: list[bytes],
    operations: Sequence[Operation],
    split: Split | None = None,
    merge: Merge | None = None,
) -> tuple[bytes, bytes]:
    """(payload for the journal, the batch inside it)."""
    batch = encode_batch(operations)
    return _encode(EntryPayload(keys, batch, split, merge)), batch


def decode_entry(index: int, epoch: int, payload: bytes) -> PendingEntry:
    """Raises what `undecodable` lists for what is not an entry."""
    decoded = _payload.decode(payload)
    return PendingEntry(
        index, epoch, decoded.keys, decoded.batch, None, decoded.split, decoded.merge
    )


def applied_key(partition_id: int) -> bytes:
    return STATE_PREFIX + partition_id.to_bytes(8, "big")


def encode_applied(index: int, epoch: int) -> bytes:
    return _encode(Applied(index, epoch))


def decode_applied(value: bytes | None) -> Applied:
    return Applied(0, 0) if value is None else _applied.decode(value)
