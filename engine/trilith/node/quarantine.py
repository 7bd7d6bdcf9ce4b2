"""What this node found damaged and cannot heal: a bounded list that outlives restarts.

An entry says what it is, since when, and why it cannot be healed now; it goes when it is healed or
no longer needed. The list only tells: nothing is kept from being read or tried again because it is
on it. `trilith status`, `/readyz?verbose` and the metrics show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

import msgspec
from blake3 import blake3

from trilith.errors import TrilithError
from trilith.runtime.ports import Runtime
from trilith.undecodable import UNDECODABLE

FILE = "quarantine.json"
ENTRIES_MAX = 1_000
OBJECTS_MAX = 8  # named for each chunk
SAVE_INTERVAL_S = 1.0
RETRY_S = 2.0


async def keep_looking(
    look: Callable[[], Awaitable[None]],
    new: asyncio.Event,
    interval_s: float,
    failed: Callable[[TrilithError], None],
) -> None:
    """Look after what is listed, each interval and whenever there is something new, until
    cancelled. When a look fails nothing is known: `failed` is told, and the next one is soon.
    """
    while True:
        wait_s = interval_s
        new.clear()
        try:
            await look()
        except TrilithError as error:
            failed(error)
            wait_s = min(RETRY_S, wait_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await new.wait()


class Damage(StrEnum):
    """What is damaged."""

    CHUNK = "chunk"  # id: the chunk's, in hex
    LOG = "log"  # id: the partition's
    STORE = "store"  # id: "ordered store"
    ITEM = "item"  # id: the item's logical key, in hex


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One damaged thing. `objects`: BUCKET/KEY of some that need the chunk; of an item its table
    and key attributes."""

    kind: Damage
    id: str
    since_ms: int
    why: str
    objects: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """`digest`: of the entries, so that rotten ones are not believed; "": of an earlier version."""

    format_version: int = 1
    entries: list[Entry] = []
    digest: str = ""


def _digest_of(entries: list[Entry]) -> str:
    return blake3(msgspec.json.encode(entries)).hexdigest(16)


class Quarantine:
    """The list. On the event loop; `run` keeps the file up to date."""

    def __init__(self, runtime: Runtime, log: Callable[..., None]) -> None:
        self._clock = runtime.clock
        self._disk = runtime.disk
        self._workers = runtime.workers
        self._log = log
        self._entries: dict[tuple[Damage, str], Entry] = {}
        self._changed = asyncio.Event()
        self.not_listed = 0  # found while the list was full, since the start
        self._load()

    def _load(self) -> None:
        if not self._disk.exists(FILE):
            return
        try:
            kept = msgspec.json.decode(self._disk.read_small(FILE), type=_File)
        except UNDECODABLE as error:
            # What is on it is found again, by a read or by the scrubber.
            self._log("quarantine_unreadable", error=str(error))
            return
        if kept.digest and kept.digest != _digest_of(kept.entries):
            self._log("quarantine_unreadable", error="its digest is another one")
            return
        self._entries = {(entry.kind, entry.id): entry for entry in kept.entries[:ENTRIES_MAX]}

    def has(self, kind: Damage, name: str) -> bool:
        return (kind, name) in self._entries

    def add(self, kind: Damage, name: str, why: str) -> None:
        """Put it on the list, or tell why it is still there."""
        found = self._entries.get((kind, name))
        if found is not None:
            if found.why != why:
                self._put(msgspec.structs.replace(found, why=why))
            return
        if len(self._entries) >= ENTRIES_MAX:
            self.not_listed += 1
            return
        self._log("quarantined", kind=kind, id=name, why=why)
        self._put(Entry(kind=kind, id=name, since_ms=self._clock.wall_ms(), why=why))

    def name_objects(self, kind: Damage, name: str, objects: list[str]) -> None:
        """Which objects need a chunk, or what an item is, as far as is known."""
        found = self._entries.get((kind, name))
        named = tuple(sorted(objects)[:OBJECTS_MAX])
        if found is not None and found.objects != named:
            self._put(msgspec.structs.replace(found, objects=named))

    def _put(self, entry: Entry) -> None:
        self._entries[entry.kind, entry.id] = entry
        self._changed.set()

    def release(self, kind: Damage, name: str, how: str) -> None:
        """It is healed, or nobody needs it any more. Nothing happens when it is not listed."""
        if self._entries.pop((kind, name), None) is not None:
            self._log("released_from_quarantine", kind=kind, id=name, how=how)
            self._changed.set()

    def entries(self, kind: Damage | None = None) -> list[Entry]:
        """Oldest first."""
        found = [entry for entry in self._entries.values() if kind in (None, entry.kind)]
        return sorted(found, key=lambda entry: (entry.since_ms, entry.id))

    def facts(self) -> dict[str, Any]:
        return {
            "entries": [msgspec.to_builtins(entry) for entry in self.entries()],
            "not_listed": self.not_listed,
        }

    async def run(self) -> None:
        """Until cancelled: write what changed, at most once in a while."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            entries = self.entries()
            data = msgspec.json.encode(_File(entries=entries, digest=_digest_of(entries)))
            try:
                await self._workers.run(self._disk.write_small, FILE, data)
            except OSError as error:  # a full disk: what it says is still true in memory
                self._log("quarantine_not_saved", error=str(error))
                self._changed.set()
            await asyncio.sleep(SAVE_INTERVAL_S)
