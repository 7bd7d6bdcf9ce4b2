"""Server processes of a load run: started in a session of their own, measured, stopped by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

MIB = 1 << 20
STOP_DEADLINE_S = 30.0


class StartError(Exception):
    """A server did not become ready."""


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise StartError(f"not within {deadline_s} s: {what}")
        time.sleep(0.1)


class Process:
    """One program with all that it starts."""

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                arguments,
                env={**os.environ, **(environment or {})},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def require_alive(self) -> None:
        if self._popen.poll() is not None:
            raise StartError(f"{self._popen.args} ended: {self._log.read_text()[-3000:]}")

    def pids(self) -> set[int]:
        """The program, its descendants and its session."""
        parents, found = {}, {self._popen.pid}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] in {"Z", "X"}:
                continue
            parents[int(entry.name)] = int(fields[1])
            if int(fields[3]) == self._popen.pid:
                found.add(int(entry.name))
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found & parents.keys()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left after the deadline."""
        family = self.pids()
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for pid in family:
            if (Path("/proc") / str(pid)).exists() and pid in self.pids():
                os.kill(pid, signal.SIGKILL)


def proportional_bytes(pids: set[int]) -> int:
    """Resident memory with shared pages counted once (Pss of smaps_rollup)."""
    total = 0
    for pid in pids:
        try:
            text = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")
        )
    return total


class MemoryWatch:
    """The highest memory of a set of processes while the block runs."""

    def __init__(self, pids: Callable[[], set[int]], interval_s: float = 0.5) -> None:
        self._pids = pids
        self._interval_s = interval_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def _watch(self) -> None:
        while not self._end.wait(self._interval_s):
            self.peak_bytes = max(self.peak_bytes, proportional_bytes(self._pids()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
