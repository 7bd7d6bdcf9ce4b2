"""Reading a journal back after a stop or a crash, in bounded memory.

* The unproven end (see `segment`) may be torn: it is cut at the first bad record, if no MARK
  follows it. What stays is made durable before anyone relies on it. A synced end that rotted looks
  the same: so that it was cut is kept on the disk until others have shown that nothing is missing
  (`TORN_FILE`). The same note says that a log was made anew from a snapshot, and so may end before
  what it once had.
* A bad record that a MARK or a later segment follows had been durable: corruption. The partition
  that lost it is marked damaged; when it cannot be *proven* whose record it was, every partition
  that could have had one there is, those included of which there is no record left (UNRECORDED).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from trilith.errors import DataDirectoryUnusable, DiskFull
from trilith.runtime.disk import Disk, ReadFile
from trilith.storage.file_header import FILE_HEADER_BYTES, FileHeader, decode_file_header
from trilith.storage.journal_index import JournalIndex
from trilith.storage.segment import (
    ENTRY,
    FIRST_RECORD_OFFSET,
    MAGIC,
    MARK,
    SCAR,
    UNRECORDED,
    Segment,
    segment_number,
    segment_path,
    segment_seed,
)
from trilith.storage.segment_reserve import NO_ROOM
from trilith_native.record import HEADER_SIZE, find_valid_after, scan, verify

TORN_FILE = "torn"
TORN = b"1\n"  # what it says
FILLED = b"filled\n"  # by a snapshot
PIECE_BYTES = 4 * 1024 * 1024
_HEADER = struct.Struct("<IIB3xIQQQ")  # crc, payload length, kind, partition, epoch, index


@dataclass(slots=True)
class LostRegion:
    """Bytes [start, end) of a segment that had been durable and are no records any more.

    `suspect`: partition and index of the one entry that fits the region exactly; it is the owner
    once the partition's next entry proves the gap.
    """

    segment: int
    start: int
    end: int
    suspect: tuple[int, int] | None = None
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """`last_number`, `last_end`: the last segment with records, 0 and 0 when there is none.

    `torn_end`: bytes behind the last record were cut, now or at an earlier start, or a log was
    `filled` by a snapshot; and others have not shown since that nothing is missing.
    `scars`: lost regions found now for the first time, with the partitions that they damaged.
    """

    last_number: int
    last_end: int
    scars: list[tuple[LostRegion, list[int]]]
    torn_end: bool
    filled: bool


def note_torn_end(disk: Disk, directory: str, note: bytes = TORN) -> None:
    """Before the end is cut off, and nothing shows any more that it was torn.

    Raises DiskFull, OSError.
    """
    try:
        disk.write_small(f"{directory}/{TORN_FILE}", note)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFull("no room to note that the journal's end was torn") from error


def recover(disk: Disk, directory: str, node_id: str, index: JournalIndex) -> Recovered:
    """Fill `index` from the segments. Blocking.

    Raises DataDirectoryUnusable for a newer format or another node's journal; OSError.
    """
    return _Recovery(disk, directory, node_id, index).run()


class _Recovery:
    def __init__(self, disk: Disk, directory: str, node_id: str, index: JournalIndex) -> None:
        self._disk = disk
        self._directory = directory
        self._node_id = node_id
        self._index = index
        self._lost: dict[tuple[int, int], LostRegion] = {}
        self._torn_end = False

    def run(self) -> Recovered:
        names = self._disk.list(self._directory)
        numbers = sorted(n for n in map(segment_number, names) if n is not None)
        headers = {number: self._header(number) for number in numbers}
        torn: list[str] = []  # all of it
        while numbers and headers[numbers[-1]] is None and not self._has_records(numbers[-1]):
            path = segment_path(self._directory, numbers.pop())
            if self._is_blank(path):
                self._disk.remove(path)  # reserved ahead: its room may be needed below
            else:
                self._torn_end = True
                torn.append(path)
        for position, number in enumerate(numbers):
            following = numbers[position + 1] if position + 1 < len(numbers) else None
            if following is None:
                self._read_segment(number, None, is_last=True)
                continue
            next_header = headers[following]
            expected_end = next_header.previous_end if next_header is not None else 0
            if following == number + 1:
                self._read_segment(number, expected_end or None, is_last=False)
            else:
                self._read_segment(number, None, is_last=False)
                self._lose(LostRegion(number + 1, 0, 0))
        note = self._noted()
        if self._torn_end and not note:
            note_torn_end(self._disk, self._directory, note := TORN)
        for path in torn:
            self._disk.remove(path)
        last_number = numbers[-1] if numbers else 0
        last_end = 0
        if numbers:
            last_end = self._index.segments[last_number].end
            # Records that a killed process wrote are perhaps in the cache only: keep and sync them.
            self._disk.open_append(segment_path(self._directory, last_number), at=last_end).close()
        scars = self._mark_damaged()
        return Recovered(last_number, last_end, scars, bool(note), note == FILLED)

    def _noted(self) -> bytes:
        """Empty: nothing is."""
        path = f"{self._directory}/{TORN_FILE}"
        if not self._disk.exists(path):
            return b""
        file = self._disk.open_read(path)
        try:
            return bytes(file.read_at(0, len(FILLED))) or TORN
        finally:
            file.close()

    def _header(self, number: int) -> FileHeader | None:
        file = self._disk.open_read(segment_path(self._directory, number))
        try:
            data = file.read_at(0, FILE_HEADER_BYTES)
        finally:
            file.close()
        return decode_file_header(data, magic=MAGIC, number=number, node_id=self._node_id)

    def _has_records(self, number: int) -> bool:
        """Whether a segment without a valid header holds records that were durable once."""
        seed = segment_seed(self._node_id, number)
        file = self._disk.open_read(segment_path(self._directory, number), from_media=True)
        try:
            first = file.read_at(FIRST_RECORD_OFFSET, HEADER_SIZE)
            if verify(first, 0, seed):
                return True
            return _mark_after(file, FIRST_RECORD_OFFSET, file.size, seed)
        finally:
            file.close()

    def _is_blank(self, path: str) -> bool:
        file = self._disk.open_read(path, from_media=True)
        try:
            return _is_zero(file, 0, file.size)
        finally:
            file.close()

    def _read_segment(self, number: int, expected_end: int | None, *, is_last: bool) -> None:
        seed = segment_seed(self._node_id, number)
        segment = self._index.segments[number] = Segment(number, seed)
        file = self._disk.open_read(segment_path(self._directory, number), from_media=is_last)
        try:
            end = file.size if expected_end is None else expected_end
            offset = FIRST_RECORD_OFFSET
            while True:
                offset = self._read_records(file, segment, offset, end)
                segment.end = offset
                if offset >= end or (expected_end is None and _is_zero(file, offset, end)):
                    break
                if is_last and not _mark_after(file, offset, end, seed):
                    self._torn_end = True
                    break  # a torn group: unless it rotted, nothing of it was acknowledged
                following = _next_record(file, offset + 1, end, seed)
                self._lose(self._region(file, number, offset, following or end))
                if following is None:
                    segment.end = end
                    break
                offset = following
        finally:
            file.close()

    def _read_records(self, file: ReadFile, segment: Segment, offset: int, end: int) -> int:
        """Take in all valid records from `offset`; the offset behind the last."""
        want = PIECE_BYTES
        while offset < end:
            piece = file.read_at(offset, min(want, end - offset))
            records, consumed = scan(piece, 0, segment.seed)
            for kind, partition, epoch, index, payload_offset, length in records:
                position = segment.number << 32 | (offset + payload_offset - HEADER_SIZE)
                if kind == ENTRY:
                    self._entry(segment, partition, epoch, index, position, length)
                elif kind != MARK:
                    payload = piece[payload_offset : payload_offset + length]
                    self._control(kind, partition, epoch, index, payload, position)
            offset += consumed
            if consumed:
                want = PIECE_BYTES
                continue
            if len(piece) < HEADER_SIZE:
                return offset
            needed = HEADER_SIZE + int(_HEADER.unpack_from(piece)[1])
            if needed <= len(piece) or needed > end - offset:
                return offset
            want = needed  # a record that is longer than a piece
        return offset

    def _entry(
        self, segment: Segment, partition: int, epoch: int, index: int, position: int, length: int
    ) -> None:
        log = self._index.log_of(partition)
        segment.entry_index_max[partition] = max(
            index, segment.entry_index_max.get(partition, index)
        )
        if log.damaged:
            return
        if log.accepts(index):
            log.append(epoch, index, position, length)
            return
        log.damaged = True  # a gap: an entry, or a record that explains it, was lost
        for region in self._lost.values():
            if region.suspect == (partition, index - 1) and log.last_index == index - 2:
                region.owner = partition

    def _control(
        self, kind: int, partition: int, epoch: int, index: int, payload: bytes, position: int
    ) -> None:
        if kind == SCAR:
            self._lost.pop((index, epoch), None)
        elif partition in self._index.logs:
            for region in self._lost.values():
                if region.owner is None and region.suspect and region.suspect[0] == partition:
                    region.suspect = None  # the next record is no entry: the gap proves nothing
        try:
            self._index.control(kind, partition, epoch, index, payload, position)
        except ValueError as error:
            raise DataDirectoryUnusable(
                f"the journal holds a newer release's record: {error}"
            ) from error

    def _region(self, file: ReadFile, number: int, start: int, end: int) -> LostRegion:
        """Name the owner that the damaged record claims, if the region is just that one record."""
        region = LostRegion(number, start, end)
        head = file.read_at(start, HEADER_SIZE)
        if len(head) == HEADER_SIZE:
            _, length, kind, _, partition, _, index = _HEADER.unpack(head)
            log = self._index.logs.get(partition)
            fits = start + HEADER_SIZE + length == end
            if kind == ENTRY and fits and log is not None and not log.damaged:
                region.suspect = (partition, index)
        return region

    def _lose(self, region: LostRegion) -> None:
        self._lost[region.segment, region.start] = region

    def _mark_damaged(self) -> list[tuple[LostRegion, list[int]]]:
        scars = []
        for region in self._lost.values():
            position = region.segment << 32 | region.start
            candidates = list(self._index.logs) if region.owner is None else [region.owner]
            damaged = [
                partition
                for partition in candidates
                if partition in self._index.logs
                and self._index.logs[partition].reset_position < position
            ]
            if region.owner is None:
                damaged.append(UNRECORDED)
            for partition in damaged:
                self._index.log_of(partition).damaged = True
            scars.append((region, damaged))
        return scars


def _is_zero(file: ReadFile, offset: int, end: int) -> bool:
    while offset < end:
        piece = file.read_at(offset, min(PIECE_BYTES, end - offset))
        if not piece:
            return True
        if piece.strip(b"\0"):
            return False
        offset += len(piece)
    return True


def _mark_after(file: ReadFile, offset: int, end: int, seed: int) -> bool:
    """Whether a valid MARK lies behind `offset`: then everything up to it had been durable."""
    offset += 1
    while offset < end:
        piece = file.read_at(offset, min(PIECE_BYTES + HEADER_SIZE, end - offset))
        if not piece:
            return False
        if piece.strip(b"\0"):
            found = find_valid_after(piece, 0, seed)
            while found >= 0:
                if piece[found + 8] == MARK:
                    return True
                (length,) = struct.unpack_from("<I", piece, found + 4)
                found = find_valid_after(piece, found + HEADER_SIZE + length, seed)
        offset += PIECE_BYTES
    return False


def _next_record(file: ReadFile, offset: int, end: int, seed: int) -> int | None:
    """Offset of the first valid record at or behind `offset`, whole within two pieces."""
    while offset < end:
        piece = file.read_at(offset, min(2 * PIECE_BYTES, end - offset))
        if not piece:
            return None
        if piece.strip(b"\0"):
            found = find_valid_after(piece, 0, seed)
            if found >= 0:
                return offset + found
        offset += PIECE_BYTES
    return None
