"""The machine's disk, under one root directory.

Writes run on a native thread per append file (`trilith_native.synced_file`), which writes and
fdatasyncs without the GIL and signals the loop through an eventfd. Everything else is blocking.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence

from trilith.runtime.disk import AppendFile, Buffer, ReadFile, SyncDone
from trilith_native.synced_file import SyncedFile

_ZEROS = bytes(1024 * 1024)


class _SystemAppendFile:
    """Owns its descriptor. The native thread starts with the first append."""

    __slots__ = ("_descriptor", "_done", "_loop", "_size", "_synced_file")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._synced_file: SyncedFile | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: SyncDone | None = None

    @property
    def size(self) -> int:
        return self._size

    def append_and_sync(self, buffers: Sequence[Buffer], done: SyncDone) -> None:
        if self._done is not None:
            raise RuntimeError("an append is outstanding already")
        if self._descriptor < 0:
            raise RuntimeError("the file is closed")
        if self._synced_file is None:
            self._synced_file = SyncedFile(self._descriptor)
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._synced_file.event_fd, self._completed)
        offset = self._size
        self._size += sum(map(len, buffers))
        self._done = done
        self._synced_file.submit(list(buffers), offset)

    def fill(self, offset: int, length: int) -> None:
        end = offset + length
        while offset < end:
            offset += os.pwrite(self._descriptor, _ZEROS[: end - offset], offset)
        os.fdatasync(self._descriptor)

    def _completed(self) -> None:
        done = self._done
        if done is None or self._synced_file is None:
            return
        code = self._synced_file.result()
        self._done = None
        done(None if code == 0 else OSError(code, os.strerror(code)))

    def close(self) -> None:
        """Waits for an outstanding append; its callback is not called."""
        if self._descriptor < 0:
            return
        self._done = None
        if self._synced_file is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(self._synced_file.event_fd)
            self._synced_file.close()
            self._synced_file = None
        os.close(self._descriptor)
        self._descriptor = -1


class _SystemReadFile:
    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]  # a signal, or more than 2 GiB: pread may return less than the file has
        got = len(data)
        while got < length and (data := os.pread(self._descriptor, length - got, offset + got)):
            pieces.append(data)
            got += len(data)
        return b"".join(pieces)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class SystemDisk:
    """Implements `runtime.disk.Disk` on a directory of the machine."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.path.abspath(os.fspath(root))
        os.makedirs(self._root, mode=0o700, exist_ok=True)

    def open_append(
        self, path: str, *, at: int | None = None, preallocate_bytes: int = 0
    ) -> AppendFile:
        full_path = self._full(path)
        created = not os.path.exists(full_path)
        descriptor = os.open(full_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            start = size if at is None else at
            if size > start:
                os.ftruncate(descriptor, start)
            if preallocate_bytes > start:
                _reserve(descriptor, start, preallocate_bytes)
            if created or at is not None or preallocate_bytes > start:
                os.fsync(descriptor)
            if created:
                self._sync_directory(os.path.dirname(full_path))
        except BaseException:
            os.close(descriptor)
            if created:
                with contextlib.suppress(OSError):
                    os.unlink(full_path)
            raise
        return _SystemAppendFile(descriptor, start)

    def open_read(self, path: str, *, from_media: bool = False) -> ReadFile:
        descriptor = os.open(self._full(path), os.O_RDONLY | os.O_CLOEXEC)
        if from_media:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return _SystemReadFile(descriptor)

    def list(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(self._full(directory)))
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int:
        return os.stat(self._full(path)).st_size

    def exists(self, path: str) -> bool:
        return os.path.exists(self._full(path))

    def read_small(self, path: str) -> bytes:
        with open(self._full(path), "rb") as file:
            return file.read()

    def write_small(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        full_path = self._full(path)
        aside = full_path + ".new"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)  # the mode of a file left over by a crash may differ
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            raise
        finally:
            os.close(descriptor)
        os.replace(aside, full_path)
        self._sync_directory(os.path.dirname(full_path))

    def remove(self, path: str) -> None:
        full_path = self._full(path)
        try:
            os.unlink(full_path)
        except FileNotFoundError:
            return
        self._sync_directory(os.path.dirname(full_path))

    def make_directory(self, path: str) -> None:
        full_path = self._full(path)
        missing: list[str] = []
        while not os.path.isdir(full_path):
            missing.append(full_path)
            full_path = os.path.dirname(full_path)
        for directory in reversed(missing):
            os.mkdir(directory, 0o700)
            self._sync_directory(os.path.dirname(directory))

    def native_path(self, path: str) -> str:
        return self._full(path)

    def free_bytes(self) -> int:
        status = os.statvfs(self._root)
        return status.f_bavail * status.f_frsize

    def _full(self, path: str) -> str:
        full_path = os.path.normpath(os.path.join(self._root, path))
        if full_path != self._root and not full_path.startswith(self._root + os.sep):
            raise ValueError(f"path {path!r} leads out of the disk's root")
        return full_path

    @staticmethod
    def _sync_directory(directory: str) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reserve(descriptor: int, start: int, end: int) -> None:
    """Give [start, end) of a file blocks. Raises OSError(ENOSPC), the file cut at `start`."""
    try:
        os.posix_fallocate(descriptor, start, end - start)
    except OSError:
        os.ftruncate(descriptor, start)
        raise
