"""An in-memory disk with the semantics of a real one: what is not synced may be lost, or torn.

It is a twin of `SystemDisk`, not a mock: `tests/runtime/test_disks.py` runs the same behaviour
against both. Every change is recorded as an event, so that `image(n, survival)` is the disk as a
power cut after the n-th event would leave it. Faults can be set: a failing sync, a limited
capacity, flipped bits.

Metadata (names, sizes, reserved room) is durable at once here, as `SystemDisk` syncs it at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from trilith.runtime.disk import AppendFile, Buffer, ReadFile, SyncDone

SECTOR_BYTES = 512
Kind = Literal["open", "write", "sync", "lost", "replace", "remove", "directory"]


@dataclass(frozen=True, slots=True)
class DiskEvent:
    """One change. `size`: of an "open", the file's length from now on; what lay behind it is cut.

    "lost": a sync failed, and the file's unsynced writes will never reach the medium.
    """

    kind: Kind
    path: str
    offset: int = 0
    data: bytes = b""
    size: int = 0


Write = tuple[int, bytes]
# Given a file's unsynced writes, oldest first: what of them the medium has after the crash.
Survival = Callable[[list[Write]], list[Write]]


def all_survives(writes: list[Write]) -> list[Write]:
    """The process was killed, the machine went on."""
    return writes


def nothing_survives(writes: list[Write]) -> list[Write]:
    return []


def half_of_the_last_survives(writes: list[Write]) -> list[Write]:
    """A torn write: its first half only."""
    if not writes:
        return []
    offset, data = writes[-1]
    return [*writes[:-1], (offset, data[: len(data) // 2])]


def random_sectors_survive(seed: int) -> Survival:
    """Any subset of the sectors, in no order: what a power cut may leave of unsynced pages."""

    def survive(writes: list[Write]) -> list[Write]:
        random = Random(seed)
        kept: list[Write] = []
        for offset, data in writes:
            position = 0
            while position < len(data):
                step = SECTOR_BYTES - (offset + position) % SECTOR_BYTES
                if random.random() < 0.5:
                    kept.append((offset + position, data[position : position + step]))
                position += step
        return kept

    return survive


class _File:
    """`content` is what reads see; `durable` what the medium has; `dirty` the difference."""

    __slots__ = ("content", "dirty", "durable")

    def __init__(self, data: bytes = b"") -> None:
        self.content = bytearray(data)
        self.durable = bytearray(data)
        self.dirty: list[Write] = []

    def write(self, offset: int, data: bytes) -> None:
        _write(self.content, offset, data)
        self.dirty.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.dirty:
            _write(self.durable, offset, data)
        self.dirty.clear()

    def resize(self, cut_at: int, size: int) -> None:
        """Cut at `cut_at`, extend with zeros to `size`, and sync."""
        self.sync()
        for image in (self.content, self.durable):
            del image[cut_at:]
            image.extend(bytes(max(0, size - len(image))))

    def from_media(self) -> bytearray:
        image = bytearray(self.durable)
        for offset, data in self.dirty:
            _write(image, offset, data)
        return image


def _write(image: bytearray, offset: int, data: bytes) -> None:
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


class _AppendFile:
    def __init__(self, disk: RecordedDisk, path: str, size: int) -> None:
        self._disk = disk
        self._path = path
        self._size = size
        self._done: SyncDone | None = None
        self._open = True

    @property
    def size(self) -> int:
        return self._size

    def append_and_sync(self, buffers: Sequence[Buffer], done: SyncDone) -> None:
        if self._done is not None or not self._open:
            raise RuntimeError("an append is outstanding, or the file is closed")
        self._done = done
        data = b"".join(buffers)
        offset = self._size
        self._size += len(data)
        if self._disk.has_room(self._path, self._size):
            self._disk.apply(DiskEvent("write", self._path, offset, data))
            error = None
        else:
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._disk.after_sync_delay(lambda: self._synced(error))

    def fill(self, offset: int, length: int) -> None:
        """Reserved room holds zeros already."""
        if offset < self._size:
            raise ValueError("zeros over what was appended")
        self._disk.fills.append((self._path, offset, length))

    def _synced(self, error: OSError | None) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        error = error or self._disk.take_sync_failure()
        self._disk.apply(DiskEvent("sync" if error is None else "lost", self._path))
        done(error)

    def close(self) -> None:
        if self._done is not None:  # as the system's: wait for the write, forget the callback
            self._done = None
            self._disk.apply(DiskEvent("sync", self._path))
        self._open = False


class _ReadFile:
    def __init__(self, image: bytearray, disk: RecordedDisk, path: str) -> None:
        self._image = image
        self._disk = disk
        self._path = path

    @property
    def size(self) -> int:
        return len(self._image)

    def read_at(self, offset: int, length: int) -> bytes:
        if self._disk.unreadable and self._path.startswith(self._disk.unreadable):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return bytes(self._image[offset : offset + length])

    def close(self) -> None:
        pass


class RecordedDisk:
    """Implements `runtime.disk.Disk` in memory.

    `capacity_bytes`: of all files together, None for no limit. `sync_delay_s`: called for each
    sync; by default a sync ends in the next loop iteration.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int | None = None,
        sync_delay_s: Callable[[], float] | None = None,
        record: bool = True,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.events: list[DiskEvent] = []
        self.fills: list[tuple[str, int, int]] = []  # (path, offset, length)
        self.unreadable = ""  # a directory in which no sector can be read
        self._record = record
        self._sync_delay_s = sync_delay_s
        self._sync_failures: list[OSError] = []
        self._held: list[Callable[[], None]] | None = None
        self._files: dict[str, _File] = {}
        self._directories: set[str] = {""}

    # -- crashes and faults

    def image(self, count: int, survival: Survival = nothing_survives) -> RecordedDisk:
        """The disk as found after a crash right behind the first `count` events."""
        disk = RecordedDisk(record=False)
        for event in self.events[:count]:
            disk.apply(event)
        return disk.crashed(survival)

    def crashed(self, survival: Survival = nothing_survives) -> RecordedDisk:
        """The disk as found after a crash now. This one goes on undisturbed."""
        disk = RecordedDisk(capacity_bytes=self.capacity_bytes, sync_delay_s=self._sync_delay_s)
        disk._directories = set(self._directories)
        for path, file in self._files.items():
            durable = bytearray(file.durable)
            for offset, data in survival(list(file.dirty)):
                _write(durable, offset, data)
            disk._files[path] = _File(bytes(durable))
        return disk

    def fail_next_sync(self, code: int = errno.EIO) -> None:
        self._sync_failures.append(OSError(code, os.strerror(code)))

    def forget_sync_failures(self) -> None:
        """No sync fails that has not failed yet."""
        self._sync_failures.clear()

    def hold_syncs(self) -> None:
        """From now on no sync ends, until `release_syncs`."""
        self._held = self._held if self._held is not None else []

    def release_syncs(self) -> None:
        held, self._held = self._held or [], None
        for callback in held:
            self.after_sync_delay(callback)

    def flip(self, path: str, offset: int, mask: int = 0x01) -> None:
        """Damage a byte on the medium."""
        file = self._files[path]
        file.durable[offset] ^= mask
        file.content[offset] ^= mask

    def content(self, path: str) -> bytes:
        return bytes(self._files[path].content)

    def take_sync_failure(self) -> OSError | None:
        return self._sync_failures.pop(0) if self._sync_failures else None

    def after_sync_delay(self, callback: Callable[[], None]) -> None:
        if self._held is not None:
            self._held.append(callback)
            return
        loop = asyncio.get_running_loop()
        if self._sync_delay_s is None:
            loop.call_soon(callback)
        else:
            loop.call_later(self._sync_delay_s(), callback)

    def used_bytes(self) -> int:
        return sum(len(file.content) for file in self._files.values())

    def has_room(self, path: str, size: int) -> bool:
        file = self._files.get(path)
        grows = size - (len(file.content) if file is not None else 0)
        return self.capacity_bytes is None or grows <= self.free_bytes()

    def apply(self, event: DiskEvent) -> None:
        """Do one change, and record it."""
        if self._record:
            self.events.append(event)
        if event.kind == "directory":
            self._directories.add(event.path)
        elif event.kind == "remove":
            self._files.pop(event.path, None)
        elif event.kind == "replace":
            self._files[event.path] = _File(event.data)
        elif event.kind == "open":
            self._files.setdefault(event.path, _File()).resize(event.offset, event.size)
        elif event.path in self._files:
            file = self._files[event.path]
            if event.kind == "write":
                file.write(event.offset, event.data)
            elif event.kind == "sync":
                file.sync()
            else:
                file.dirty.clear()

    # -- the port

    def open_append(
        self, path: str, *, at: int | None = None, preallocate_bytes: int = 0
    ) -> AppendFile:
        self._check_parent(path)
        file = self._files.get(path)
        size = len(file.content) if file is not None else 0
        start = size if at is None else at
        length = max(start, preallocate_bytes)
        if length > size and not self.has_room(path, length):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if file is None or at is not None or length != size:
            self.apply(DiskEvent("open", path, offset=start, size=length))
        return _AppendFile(self, path, start)

    def open_read(self, path: str, *, from_media: bool = False) -> ReadFile:
        file = self._file(path)
        return _ReadFile(file.from_media() if from_media else file.content, self, path)

    def list(self, directory: str) -> list[str]:
        prefix = directory.rstrip("/") + "/" if directory else ""
        names = {
            path[len(prefix) :].split("/")[0]
            for path in (*self._files, *self._directories)
            if path.startswith(prefix) and path != prefix.rstrip("/")
        }
        return sorted(names - {""})

    def size(self, path: str) -> int:
        return len(self._file(path).content)

    def exists(self, path: str) -> bool:
        return path in self._files or path in self._directories

    def read_small(self, path: str) -> bytes:
        return bytes(self._file(path).content)

    def write_small(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        self._check_parent(path)
        if not self.has_room(path, len(data)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.apply(DiskEvent("replace", path, data=bytes(data)))

    def remove(self, path: str) -> None:
        if path in self._files:
            self.apply(DiskEvent("remove", path))

    def make_directory(self, path: str) -> None:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            directory = "/".join(parts[:depth])
            if directory not in self._directories:
                self.apply(DiskEvent("directory", directory))

    def native_path(self, path: str) -> str:
        raise RuntimeError(f"{path} is simulated: it has no real path")

    def free_bytes(self) -> int:
        if self.capacity_bytes is None:
            return 1 << 40
        return max(0, self.capacity_bytes - self.used_bytes())

    def _file(self, path: str) -> _File:
        file = self._files.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return file

    def _check_parent(self, path: str) -> None:
        if os.path.dirname(path) not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
