"""The disk port: append-only files synced off the loop, positioned reads, small atomic files.

Durability contract: bytes handed to `AppendFile.append_and_sync` are on durable media when its
callback gets None. After the callback got an error the file must not be used again: a retried
fdatasync may report success for lost pages (ATC '20, "Can Applications Recover from fsync
Failures?").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview
SyncDone = Callable[[OSError | None], None]


class AppendFile(Protocol):
    """A file that only grows. One `append_and_sync` may be outstanding at a time."""

    @property
    def size(self) -> int:
        """Bytes handed over so far, durable or not."""
        ...

    def append_and_sync(self, buffers: Sequence[Buffer], done: SyncDone) -> None:
        """Write at the end and fdatasync, off the loop without the GIL; then call `done` on it.

        The buffers must not change until then. `done` gets None, or the error (ENOSPC, EIO, ...).
        """
        ...

    def fill(self, offset: int, length: int) -> None:
        """Blocking: write zeros into reserved room behind what was appended, and sync them.

        Later appends there find room that was written once: see `storage.segment_reserve`.
        """
        ...

    def close(self) -> None: ...


class ReadFile(Protocol):
    """Positioned reads; safe from several threads at once."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file. Raises OSError."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """One directory tree. Paths are relative to it, with `/`. All calls but append are blocking."""

    def open_append(
        self, path: str, *, at: int | None = None, preallocate_bytes: int = 0
    ) -> AppendFile:
        """Open for appending, made when absent (its directory entry made durable).

        `at`: continue at this offset and cut what lies behind it, durably, with all that lies
        before it made durable too (default: the file's end).
        `preallocate_bytes`: reserve room, so that a sync need not write file-size metadata.
        """
        ...

    def open_read(self, path: str, *, from_media: bool = False) -> ReadFile:
        """Raises FileNotFoundError.

        `from_media`: first drop the clean pages that the cache holds of the file, so that reads
        show what the medium has. For recovery: after a failed sync the cache still shows the bytes
        that were lost, marked clean.
        """
        ...

    def list(self, directory: str) -> list[str]:
        """Names in a directory, sorted; empty when there is no such directory."""
        ...

    def size(self, path: str) -> int: ...

    def exists(self, path: str) -> bool: ...

    def read_small(self, path: str) -> bytes:
        """A whole small file. Raises FileNotFoundError."""
        ...

    def write_small(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace a whole small file atomically and durably."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, durably; no error when it is absent."""
        ...

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, durably; no error when it exists."""
        ...

    def native_path(self, path: str) -> str:
        """The real path, for libraries that open files (RocksDB). Raises when simulated."""
        ...

    def free_bytes(self) -> int: ...
