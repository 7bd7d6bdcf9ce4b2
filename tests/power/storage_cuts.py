"""Runs the storage child on images, cuts their power, and keeps count of what it acknowledged."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

import msgspec
from tests.conformance import processes

from .power_cut import Image
from .storage_child import EXIT_DISK_FAILED, Acknowledged

ROOT = Path(__file__).parents[2]
ANSWER_DEADLINE_S = 60.0
DRAIN_S = 0.001


class StorageRun:
    """The process of `storage_child`, over as many cuts and images as there are."""

    def __init__(self, folder: Path, seed: int, *, prefix: Sequence[str] = ()) -> None:
        """`prefix`: a command that runs the process, as strace does."""
        self._folder = folder
        self._random = Random(seed)
        self._known_file = folder / "acknowledged.json"
        self._cut_file = folder / "cut"
        self._tail = b""
        self.known = Acknowledged()
        self.cuts_before_ready = 0
        paths = [str(ROOT), str(ROOT / "engine"), str(ROOT / "native")]
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.power.storage_child"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._child = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._child:
            processes.kill([self._child])
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def new_image(self) -> None:
        """The next cycles are on an empty file system."""
        self.known = Acknowledged()

    def cycle(self, image: Image) -> None:
        """Verify, write for a random while, lose the power. Raises AssertionError on a loss."""
        assert self._process.stdin is not None
        random = self._random
        self._cut_file.unlink(missing_ok=True)
        self._known_file.write_bytes(msgspec.json.encode(self.known))
        command = f"{image.path} {random.getrandbits(32)} {self._known_file} {self._cut_file}\n"
        self._process.stdin.write(command.encode())
        self._process.stdin.flush()
        during_recovery = random.random() < 0.15
        if during_recovery:
            self._take_until("pid", deadline_s=ANSWER_DEADLINE_S)
            ready = self._take_until("ready", deadline_s=random.uniform(0.0, 0.15), patient=True)
        else:
            ready = self._take_until("ready", deadline_s=ANSWER_DEADLINE_S)
        if ready:
            self._take_until("ended", deadline_s=random.uniform(0.01, 0.2), patient=True)
        else:
            self.cuts_before_ready += 1
        self._lose_power(image)
        image.remount()

    def _lose_power(self, image: Image) -> None:
        """What the process says from the cut on counts for nothing.

        An fdatasync that is under way when ext4 is shut down may answer 0 for what is lost: its
        transaction has been aborted and is gone before it looks (six threads that append and
        fdatasync on Linux 6.18: 4 false answers in 150 cuts). Power that is really lost leaves
        nobody to hear that answer.
        """
        self._cut_file.touch()
        halted = self._random.random() < 0.5
        if halted:
            processes.kill([self._child], signal.SIGSTOP)  # its calls in the kernel go on
            image.cut()
        else:  # it meets the errors before it ends
            self._take_until("ended", deadline_s=DRAIN_S, patient=True)
            image.cut()
            self._take_until("ended", deadline_s=0.05, patient=True, counts=False)
        if self._child:
            processes.kill([self._child])
            self._take_until("ended", deadline_s=ANSWER_DEADLINE_S, counts=halted)

    def cycles(self, image: Image, count: int) -> None:
        for _ in range(count):
            self.cycle(image)

    def _take_until(
        self, mark: str, *, deadline_s: float, patient: bool = False, counts: bool = True
    ) -> bool:
        """Takes lines until one begins with `mark`. `patient`: its absence is no failure.

        `counts`: what they acknowledge has to be there from now on.
        """
        end = time.monotonic() + deadline_s
        while (left := end - time.monotonic()) > 0 or not patient:
            assert left > 0, f"the storage process printed no {mark!r} in {deadline_s} s"
            assert self._process.stdout is not None
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            if not ready:
                continue
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            assert data, "the storage process ended"
            *lines, self._tail = (self._tail + data).split(b"\n")
            if self._note([line.decode() for line in lines], mark, counts):
                return True
        return False

    def _note(self, lines: list[str], mark: str, counts: bool) -> bool:
        seen = False
        for line in lines:
            kind, _, rest = line.partition(" ")
            seen |= kind == mark
            if kind == "pid":
                self._child = int(rest)
            elif kind == "ended":
                self._child = 0
                assert int(rest) in (-signal.SIGKILL, EXIT_DISK_FAILED), line
            elif kind == "wrong":
                raise AssertionError(rest.replace("\\n", "\n"))
            elif kind != "ready" and counts:
                self.known.add(kind, int(rest))
        return seen
