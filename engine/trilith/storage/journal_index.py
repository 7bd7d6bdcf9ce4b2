"""What the journal knows of partitions and segments, by appends and by recovery alike."""

from __future__ import annotations

import struct

from trilith.storage.journal_config import RecoveredPartition
from trilith.storage.partition_log import PartitionLog
from trilith.storage.segment import BASE, CUT, DROP, RESET, SCAR, STATE, UNRECORDED, Segment


class JournalIndex:
    """In memory only; every change is a record in the journal."""

    __slots__ = ("logs", "scar_segment", "segments")

    def __init__(self) -> None:
        self.logs: dict[int, PartitionLog] = {}
        self.segments: dict[int, Segment] = {}  # in order of their numbers
        self.scar_segment = -1  # the newest one that says which partitions are damaged

    def log_of(self, partition: int) -> PartitionLog:
        log = self.logs.get(partition)
        if log is None:
            log = self.logs[partition] = PartitionLog()
        return log

    def recovered(self) -> dict[int, RecoveredPartition]:
        """What is known of each partition now."""
        return {
            partition: RecoveredPartition(
                log.first_index, log.last_index, log.last_epoch, log.state, log.damaged
            )
            for partition, log in self.logs.items()
            if partition != UNRECORDED
        }

    def control(
        self, kind: int, partition: int, epoch: int, index: int, payload: bytes, position: int
    ) -> None:
        """Apply any record but an ENTRY or a MARK, in journal order."""
        if kind == DROP:
            self.logs.pop(partition, None)
            self._cap_entries(partition, -1)
            return
        if kind == SCAR:
            for damaged in decode_scar(payload):
                self.log_of(damaged).damaged = True  # its own records may have been trimmed
            self.scar_segment = position >> 32
            return
        log = self.log_of(partition)
        if kind == STATE:
            log.state, log.state_epoch, log.state_index = payload, epoch, index
            log.state_segment = position >> 32
        elif kind == CUT:
            log.cut(index)
            self._cap_entries(partition, index)
        elif kind == RESET:
            log.reset(epoch, index, position)
            self._cap_entries(partition, -1)
        elif kind == BASE:
            log.set_base(epoch, index, position)
        else:
            raise ValueError(f"unknown record kind {kind}")

    def _cap_entries(self, partition: int, index: int) -> None:
        """Entries of the partition over `index` are void: no segment is needed for them."""
        for segment in self.segments.values():
            highest = segment.entry_index_max.get(partition)
            if highest is not None and highest > index:
                if index < 0:
                    del segment.entry_index_max[partition]
                else:
                    segment.entry_index_max[partition] = index


def encode_scar(partitions: list[int]) -> bytes:
    return struct.pack(f"<{len(partitions)}Q", *partitions)


def decode_scar(payload: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(payload) // 8}Q", payload)
