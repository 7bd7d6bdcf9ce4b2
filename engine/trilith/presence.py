"""Whether any node runs on a coordinator's file: each holds a shared lock on a file beside it.

The lock ends with the process, however it ends. For whoever must know that there is nobody:
`trilith serve`, before it lets its nodes change what all must have the same (cluster/settings.py).
"""

from __future__ import annotations

import fcntl
import os

SUFFIX = ".nodes"


def announce(database: str) -> int:
    """Be counted until this process ends, or closes the descriptor. Raises OSError."""
    descriptor = _open(database)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # who asks holds it for a moment only
    return descriptor


def is_anyone_there(database: str) -> bool:
    """Whether a node runs now. Raises OSError."""
    descriptor = _open(database)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(database: str) -> int:
    return os.open(database + SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
