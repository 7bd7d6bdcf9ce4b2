"""Reading entries back: from a bounded cache of recent ones, else from the segments."""

from __future__ import annotations

from collections import OrderedDict, deque

from trilith.errors import Corruption
from trilith.runtime.disk import Disk, ReadFile
from trilith.storage.journal_index import JournalIndex
from trilith.storage.segment import ENTRY, segment_path
from trilith_native.record import HEADER_SIZE, scan

OPEN_FILES_MAX = 8


class JournalReader:
    """Invariant: an entry that is not durable yet is in the cache, whatever the cache's limit."""

    def __init__(
        self, disk: Disk, directory: str, index: JournalIndex, cache_bytes_max: int
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._index = index
        self._cache_bytes_max = cache_bytes_max
        self._cache: dict[int, bytes] = {}  # position -> payload
        self._order: deque[int] = deque()  # positions, oldest first
        self._cache_bytes = 0
        self._files: OrderedDict[int, ReadFile] = OrderedDict()
        self.durable_position = 0  # entries before it are on the medium

    def remember(self, position: int, payload: bytes) -> None:
        self._cache[position] = payload
        self._order.append(position)
        self._cache_bytes += len(payload)

    def shrink(self) -> None:
        """Forget the oldest durable entries until the cache is within its limit."""
        order, durable = self._order, self.durable_position
        while self._cache_bytes > self._cache_bytes_max and order and order[0] < durable:
            self._cache_bytes -= len(self._cache.pop(order.popleft()))

    def read(
        self,
        partition: int,
        first_index: int,
        *,
        max_bytes: int,
        max_entries: int,
        from_disk: bool = False,
    ) -> list[tuple[int, int, bytes]]:
        """`from_disk`: pass the cache by where an entry is durable."""
        log = self._index.logs.get(partition)
        if log is None:
            raise LookupError(f"no partition {partition} in the journal")
        if first_index < log.first_index:
            raise LookupError(
                f"partition {partition}: entry {first_index} is trimmed, {log.first_index} is first"
            )
        entries: list[tuple[int, int, bytes]] = []
        total = 0
        for index in range(first_index, min(log.last_index, first_index + max_entries - 1) + 1):
            slot = index - log.first_index
            total += log.lengths[slot]
            if total > max_bytes and entries:
                break
            epoch = log.epoch_of(index)
            assert epoch is not None
            position = log.positions[slot]
            payload = self._cache.get(position)
            if payload is None or (from_disk and position < self.durable_position):
                payload = self._load(position, log.lengths[slot], (ENTRY, partition, epoch, index))
            entries.append((epoch, index, payload))
        return entries

    def drop_segment(self, number: int) -> None:
        file = self._files.pop(number, None)
        if file is not None:
            file.close()

    def close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def _load(self, position: int, length: int, identity: tuple[int, int, int, int]) -> bytes:
        number, offset = position >> 32, position & 0xFFFFFFFF
        reason = "no valid record"
        try:
            record = self._file(number).read_at(offset, HEADER_SIZE + length)
        except OSError as error:
            record, reason = b"", str(error)  # a bad sector is bytes that are gone, as others
        records, _ = scan(record, 0, self._index.segments[number].seed)
        if len(records) != 1 or records[0][:4] != identity or records[0][5] != length:
            raise Corruption(
                f"journal segment {number}, offset {offset}: {reason}",
                partition=identity[1],
                index=identity[3],
            )
        return record[HEADER_SIZE:]

    def _file(self, number: int) -> ReadFile:
        file = self._files.get(number)
        if file is None:
            file = self._disk.open_read(segment_path(self._directory, number))
            self._files[number] = file
            if len(self._files) > OPEN_FILES_MAX:
                self._files.popitem(last=False)[1].close()
        else:
            self._files.move_to_end(number)
        return file
