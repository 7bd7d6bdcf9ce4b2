"""Why the journal takes nothing more."""

from __future__ import annotations

from trilith.errors import DiskFull, StorageFailure, TrilithError


def broken() -> TrilithError:
    return StorageFailure("the journal's disk failed: the node must stop")


def shut() -> TrilithError:
    return StorageFailure("the journal is closed")


def no_room() -> TrilithError:
    return DiskFull("the journal has no room")
