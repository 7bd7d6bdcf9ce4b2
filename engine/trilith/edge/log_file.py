"""A log file that moves itself aside when it is full: NAME, NAME.1 (newest) ... NAME.N."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path


class LogFile:
    """Appends; safe to call from several threads. Raises OSError of the write."""

    def __init__(self, path: Path, *, rotate_bytes: int, files_max: int) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._files_max = files_max
        self._lock = threading.Lock()
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def write(self, lines: bytes) -> None:
        """Whole lines, appended."""
        with self._lock:
            if self._size and self._size + len(lines) > self._rotate_bytes:
                self._rotate()
            view = memoryview(lines)
            while view:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]

    def _rotate(self) -> None:
        for number in range(self._files_max, 1, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number - 1}", f"{self._path}.{number}")
        os.replace(self._path, f"{self._path}.1")
        os.close(self._fd)
        self._fd = self._open()
        self._size = 0

    def close(self) -> None:
        with self._lock:
            os.close(self._fd)
