"""Trilith: a distributed storage engine, replicated synchronously over three availability zones.

`trilith.connect` and `trilith.connect_async` are the SDK (trilith.client); its modules are loaded
when they are first asked for, since the command line and the supervisor do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trilith.client import connect, connect_async

__version__ = "0.1.0"
__all__ = ["__version__", "connect", "connect_async"]


def __getattr__(name: str) -> Any:
    if name in ("connect", "connect_async"):
        from trilith import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
