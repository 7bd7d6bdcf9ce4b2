"""Facts about processes and sockets from Linux's /proc, without a word to the process itself."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")
_STATE_LISTEN = "0A"


def started_at(pid: int) -> str | None:
    """When the process began, in clock ticks since boot: with the pid, an identity. None: gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name may hold spaces and parentheses; fields count from behind the last one.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP, not a tracer) keeps the process from running."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] == "T"


def command_line(pid: int) -> list[str]:
    """The process's arguments; empty when it is gone."""
    try:
        text = (_PROC / str(pid) / "cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rstrip("\0").split("\0")


def resident_bytes(pid: int) -> int:
    """Memory of the process that is in RAM; 0 when it is gone."""
    try:
        text = (_PROC / str(pid) / "statm").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def listeners() -> dict[str, int]:
    """Socket inode -> port, of every listening TCP socket."""
    found: dict[str, int] = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            if fields[3] == _STATE_LISTEN:
                found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def listening_ports(pid: int) -> set[int]:
    """The TCP ports on which this very process listens, shared ones too."""
    known = listeners()
    ports = set()
    try:
        descriptors = list((_PROC / str(pid) / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return set()
    for descriptor in descriptors:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # closed meanwhile
        inode = target.removeprefix("socket:[").removesuffix("]")
        if inode in known:
            ports.add(known[inode])
    return ports
