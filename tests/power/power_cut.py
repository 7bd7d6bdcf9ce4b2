"""File systems of a test's own, in a file behind a loop device, whose power can be cut.

The cut is ext4's own: FS_IOC_SHUTDOWN without a log flush. From that moment nothing more reaches
the image, and after unmounting and mounting it again it holds what was synced, and of the rest
whatever had been written back by then. No real disk is ever touched: `cut` refuses every mount
point that an `Image` has not mounted itself. Needs root.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from tests.conformance.processes import wait_until

FS_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2
PROGRAMS = ("mkfs.ext4", "mount", "umount", "losetup")
COMMAND_DEADLINE_S = 60.0
MIB = 1024 * 1024

_mounted: set[Path] = set()


def reason_not_to_run() -> str:
    """Why this machine cannot mount images; "" when it can."""
    if os.geteuid() != 0:
        return "cutting the power of a mounted image needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not os.path.exists("/dev/loop-control"):
        return "this kernel has no loop devices"
    return ""


needs_images = pytest.mark.skipif(bool(reason_not_to_run()), reason=reason_not_to_run() or "-")


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND_DEADLINE_S, check=False
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class Image:
    """One ext4 file system, mounted at `path` while it is `on`. Leave it as a context manager."""

    def __init__(
        self,
        folder: Path,
        name: str,
        size_bytes: int,
        *,
        options: str = "",
        at: Path | None = None,
    ) -> None:
        """Made sparse in `folder`: it takes only what is written. `options`: of the mount. `at`:
        where it is mounted, instead of in the folder too."""
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{name}.img"
        self.path = at or folder / name
        self._options = f"loop,{options}" if options else "loop"
        with self.file.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self.file))
        self.path.mkdir(parents=True)
        self.cuts = 0

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def mount(self) -> None:
        """Recovers the file system's log, as after a real power cut."""
        _run("mount", "-o", self._options, str(self.file), str(self.path))
        _mounted.add(self.path)

    def cut(self) -> None:
        """The power is gone: nothing that is not synced by now will be found again."""
        if self.path not in _mounted:
            raise RuntimeError(f"{self.path} is not an image of ours that is mounted")
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.cuts += 1

    def unmount(self) -> None:
        """Its users are killed already, and may still be letting go of their files."""
        if self.path in _mounted:
            wait_until(self._try_to_unmount, deadline_s=20, what=f"{self.path} is unmounted")
            _mounted.discard(self.path)

    def _try_to_unmount(self) -> bool:
        try:
            _run("umount", str(self.path))
        except OSError as error:
            if "busy" not in str(error):
                raise
            return False
        return True

    def remount(self) -> None:
        self.unmount()
        self.mount()

    def remove(self) -> None:
        """Unmounts, even when somebody still has a file open, and deletes the image."""
        if self.path in _mounted:
            _detach(self.path)
        self.file.unlink(missing_ok=True)


class ThinImage(Image):
    """An image that promises more room than the memory disk below it has.

    Its writes are accepted into the page cache and fail when they are synced: a real failing
    fsync, on a file system that is none the wiser. `heal` gives the memory disk room.
    """

    def __init__(
        self, folder: Path, name: str, size_bytes: int, *, backed_bytes: int, at: Path | None = None
    ) -> None:
        self._backing = folder / f"{name}.backing"
        self._backing.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={backed_bytes}", "none", str(self._backing))
        _mounted.add(self._backing)
        try:
            super().__init__(self._backing, name, size_bytes, at=at or folder / name)
        except BaseException:
            _detach(self._backing)
            raise

    def set_room(self, backed_bytes: int) -> None:
        """Size of the memory disk from now on."""
        _run("mount", "-o", f"remount,size={backed_bytes}", str(self._backing))

    def backed_bytes_used(self) -> int:
        status = os.statvfs(self._backing)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def remove(self) -> None:
        super().remove()
        if self._backing in _mounted:
            _detach(self._backing)


def _detach(path: Path) -> None:
    try:
        _run("umount", str(path))
    except OSError:
        _run("umount", "--lazy", str(path))
    _mounted.discard(path)


@atexit.register
def _leave_nothing_mounted() -> None:
    for path in sorted(_mounted, key=lambda p: len(p.parts), reverse=True):
        _detach(path)
