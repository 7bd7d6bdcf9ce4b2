"""Reading a chunk store: the index in the ordered store, and the bytes in the extents."""

from __future__ import annotations

from itertools import islice

from trilith.errors import Corruption
from trilith.runtime.disk import Disk, ReadFile
from trilith.storage.extent import (
    CHECKPOINT_KEY,
    INDEX_END,
    INDEX_PREFIX,
    Checkpoint,
    ChunkLocation,
    extent_number,
    extent_path,
)
from trilith.storage.ordered_store import OrderedStore
from trilith_native.crc import crc32c


class ChunkFiles:
    """Safe from any thread. `open_files_max`: extents kept open for reading."""

    def __init__(
        self, disk: Disk, directory: str, store: OrderedStore, open_files_max: int
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._store = store
        self._open_files_max = open_files_max
        self._read_files: dict[int, ReadFile] = {}

    def has(self, chunk_id: bytes) -> bool:
        return self._store.get(INDEX_PREFIX + chunk_id) is not None

    def locate(self, chunk_id: bytes) -> ChunkLocation | None:
        value = self._store.get(INDEX_PREFIX + chunk_id)
        return None if value is None else ChunkLocation.decode(value)

    def entries(self, first: bytes, limit: int) -> list[tuple[bytes, ChunkLocation]]:
        """Chunks from the id `first` on, in order, and where they are."""
        found = self._store.scan(INDEX_PREFIX + first, INDEX_END)
        prefix = len(INDEX_PREFIX)
        return [(key[prefix:], ChunkLocation.decode(value)) for key, value in islice(found, limit)]

    def indexed_to(self) -> tuple[int, int]:
        """Extent and offset up to which everything is durable and in the index."""
        value = self._store.get(CHECKPOINT_KEY)
        checkpoint = Checkpoint() if value is None else Checkpoint.decode(value)
        return checkpoint.extent, checkpoint.offset

    def extent_sizes(self) -> dict[int, int]:
        """Bytes of each extent file, by number. Blocking."""
        names = self._disk.list(f"{self._directory}/extents")
        numbers = [number for name in names if (number := extent_number(name)) is not None]
        return {n: self._disk.size(extent_path(self._directory, n)) for n in numbers}

    def read(self, chunk_id: bytes) -> bytes:
        """The sealed bytes, checksum verified. Blocking: call it through `Workers`.

        KeyError: not here. Corruption: the bytes are damaged (put it anew with `replace=True`).
        """
        found = self.locate(chunk_id)
        while found is not None:
            try:
                data = self._read_file(found.extent).read_at(found.offset, found.length)
                reason = "checksum mismatch"
            except OSError as error:
                data, reason = b"", str(error)
            if len(data) == found.length and crc32c(data) == found.checksum:
                return data
            looked_at, found = found, self.locate(chunk_id)
            if found is not None and found.is_at(looked_at):
                raise self._damaged(chunk_id, found, reason)
        raise KeyError(chunk_id)  # also when it was taken out meanwhile

    @staticmethod
    def _damaged(chunk_id: bytes, found: ChunkLocation, reason: str) -> Corruption:
        return Corruption(
            f"chunk {chunk_id.hex()}: {reason}", extent=found.extent, offset=found.offset
        )

    def _read_file(self, number: int) -> ReadFile:
        """Open files are shared by threads: each step here is atomic, and a file that drops out
        is closed when its last reader lets go of it."""
        file = self._read_files.get(number)
        if file is None:
            opened = self._disk.open_read(extent_path(self._directory, number))
            file = self._read_files.setdefault(number, opened)
            while len(self._read_files) > self._open_files_max:
                self._read_files.pop(list(self._read_files)[0], None)  # noqa: RUF015 - atomic
        return file

    def forget(self, number: int) -> None:
        """The extent is about to be deleted."""
        self._read_files.pop(number, None)

    def close(self) -> None:
        self._read_files.clear()
