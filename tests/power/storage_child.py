"""A node's storage under random load, in a process that may lose its power at any moment.

    python -m tests.power.storage_child

reads lines `DIRECTORY SEED ACKNOWLEDGED` and forks for each, so that a cycle does not pay for the
imports. The child first verifies what is on the disk against ACKNOWLEDGED (a file of what was ever
acknowledged: `Acknowledged`), prints `ready`, then writes until it is killed or the disk fails. It
prints a line `KIND NUMBER` for each acknowledgement; contents follow from the numbers. `wrong ...`
names what was lost. The parent prints `pid N` before and `ended STATUS` after.

Everything that a node keeps on its disk takes part: journal, ordered store, chunk store, the
coordinator's file, and small files that are replaced whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec
import uvloop
from tests.crash.writing_child import chunk_data, chunk_id, entry_payload, system_runtime

from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
from trilith.errors import TrilithError
from trilith.runtime.ports import Runtime
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.journal import ENTRY, Journal, JournalConfig
from trilith.storage.ordered_store import PUT, Operation
from trilith.storage.rocks_store import RocksOrderedStore

JOURNAL = JournalConfig(
    "node-1", segment_bytes=1 << 19, retain_bytes=1 << 20, free_bytes_min=1 << 20
)
CHUNKS = ChunkStoreConfig(
    "node-1",
    extent_bytes=1 << 23,
    extent_bytes_min=1 << 21,
    free_bytes_min=1 << 20,
    touch_granularity_ms=1,
)
PARTITION = 7
APPLIED_KEY = b"\x02applied"
KEYS = 200  # rows of the ordered store, overwritten in turn
ROW_STRIDE = 7919
SMALL_FILE = "small.json"
COORDINATOR_KEY = "a/key"
CHUNK_WRITERS = 3
EXIT_WRONG = 9
EXIT_DISK_FAILED = 3


class Acknowledged(msgspec.Struct):
    """What the parent was told is durable. Numbers are the highest of their kind, but chunks."""

    entry: int = 0
    applied: int = 0  # flushed in the ordered store
    coordinator: int = 0
    small: int = 0
    chunks: set[int] = msgspec.field(default_factory=set)

    def add(self, kind: str, number: int) -> None:
        if kind == "chunk":
            self.chunks.add(number)
        else:
            setattr(self, kind, max(getattr(self, kind), number))


def tell(kind: str, number: int) -> None:
    os.write(1, f"{kind} {number}\n".encode())


def stop_at_once(error: OSError) -> None:
    """What a node does when its disk fails."""
    del error
    os._exit(EXIT_DISK_FAILED)


def row_key(index: int) -> bytes:
    return b"\x05%03d" % (index * ROW_STRIDE % KEYS)


def row(index: int) -> bytes:
    return index.to_bytes(8, "big") + entry_payload(index)[: index % 2000]


class Storage:
    """Everything on one node's disk."""

    def __init__(self, directory: str, seed: int) -> None:
        self.runtime: Runtime = system_runtime(directory)
        self.random = Random(seed)
        self.applied = 0
        self.durable = 0

    async def open(self) -> None:
        runtime = self.runtime
        self.store = RocksOrderedStore(
            runtime.disk.native_path("store"), write_buffer_bytes=256 << 10
        )
        self.journal = await Journal.open(runtime, "journal", JOURNAL, on_failure=stop_at_once)
        self.chunks = await ChunkStore.open(
            runtime, "chunks", self.store, CHUNKS, on_failure=stop_at_once
        )
        path = runtime.disk.native_path("coordinator.sqlite3")
        self.coordinator = await EmbeddedCoordinator.open(path, ThreadWorkers(1))

    # -- verifying

    async def verify(self, known: Acknowledged) -> None:
        """Raises AssertionError naming what was acknowledged and is not there."""
        self._verify_journal(known)
        self._verify_rows(known)
        for number in known.chunks:
            assert self.chunks.read(chunk_id(number)) == chunk_data(number), f"chunk {number}"
        assert self.chunks.chunks >= len(known.chunks)
        found = await self.coordinator.get(COORDINATOR_KEY)
        number = int(found.value) if found else 0
        assert number >= known.coordinator, f"coordinator at {number}, {known.coordinator=}"
        assert self._small() >= known.small, "a small file is older than it was"

    def _verify_journal(self, known: Acknowledged) -> None:
        journal = self.journal
        found = journal.recovered.get(PARTITION)
        assert not journal.lost_regions, f"lost: {journal.lost_regions}"
        self.durable = found.last_index if found else 0
        assert found is None or not found.damaged, "the log is damaged"
        assert self.durable >= known.entry, f"log ends at {self.durable}, known {known.entry}"
        first = journal.first_index(PARTITION)
        read = (
            journal.read(PARTITION, first, max_bytes=1 << 40, max_entries=1 << 40)
            if first <= self.durable
            else []
        )
        assert [index for _, index, _ in read] == list(range(first, self.durable + 1))
        for _, index, payload in read:
            assert payload == entry_payload(index), f"entry {index}"

    def _verify_rows(self, known: Acknowledged) -> None:
        """The store holds exactly a prefix of the log, and the log all the rest."""
        value = self.store.get(APPLIED_KEY)
        self.applied = applied = int.from_bytes(value, "big") if value else 0
        assert known.applied <= applied <= self.durable, f"{known.applied=} {applied=}"
        assert self.journal.first_index(PARTITION) <= applied + 1, "a gap between store and log"
        for index in range(max(1, applied - KEYS + 1), applied + 1):
            assert self.store.get(row_key(index)) == row(index), f"row of entry {index}"

    def _small(self) -> int:
        disk = self.runtime.disk
        return int(disk.read_small(SMALL_FILE)) if disk.exists(SMALL_FILE) else 0

    # -- writing

    async def write_on(self) -> None:
        await asyncio.gather(
            self._write_entries(),
            self._flush(),
            *(self._write_chunks(first) for first in range(CHUNK_WRITERS)),
            self._write_coordinator(),
            self._write_small(),
        )

    def _entry_durable(self, index: int) -> None:
        tell("entry", index)
        self.durable = index

    async def _write_entries(self) -> None:
        journal, random = self.journal, self.random
        while True:
            for _ in range(random.choice((1, 1, 2, 8, 40))):
                index = journal.last_index(PARTITION) + 1
                done: Callable[[], None] = lambda i=index: self._entry_durable(i)  # type: ignore[misc]  # noqa: E731
                journal.append(ENTRY, PARTITION, 1, index, entry_payload(index), done)
            synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            # cancelled when another writer has met the end of the disk
            journal.probe(lambda waiter=synced: waiter.done() or waiter.set_result(None))  # type: ignore[misc]
            await synced
            self._apply()

    def _apply(self) -> None:
        """As a replica does: only what is durable in the log."""
        operations: list[Operation] = [
            (PUT, row_key(index), row(index)) for index in range(self.applied + 1, self.durable + 1)
        ]
        if operations:
            operations.append((PUT, APPLIED_KEY, self.durable.to_bytes(8, "big")))
            self.store.write(operations)
            self.applied = self.durable

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.random.uniform(0.0, 0.06))
            applied = self.applied
            await loop.run_in_executor(None, self.store.flush)
            tell("applied", applied)
            self.journal.trim({PARTITION: applied})

    async def _write_chunks(self, first: int) -> None:
        number = first
        while True:
            await self.chunks.store(chunk_id(number), chunk_data(number))  # or a touch
            tell("chunk", number)
            number += CHUNK_WRITERS * self.random.choice((1, 1, 1, 3))

    async def _write_coordinator(self) -> None:
        while True:
            found = await self.coordinator.get(COORDINATOR_KEY)
            number = int(found.value) + 1 if found else 1
            revision = found.revision if found else 0
            await self.coordinator.compare_and_swap(COORDINATOR_KEY, revision, b"%d" % number)
            tell("coordinator", number)
            await asyncio.sleep(self.random.uniform(0.0, 0.02))

    async def _write_small(self) -> None:
        disk, number = self.runtime.disk, self._small()
        while True:
            number += 1
            await self.runtime.workers.run(disk.write_small, SMALL_FILE, b"%d" % number)
            tell("small", number)
            await asyncio.sleep(self.random.uniform(0.0, 0.02))


async def _live(directory: str, seed: int, known: Acknowledged) -> None:
    storage = Storage(directory, seed)
    await storage.open()
    await storage.verify(known)
    os.write(1, b"ready\n")
    await storage.write_on()


def _child(directory: str, seed: int, known: Acknowledged, is_cut: Callable[[], bool]) -> None:
    """Never returns. Before the cut every failure is a finding."""
    try:
        uvloop.run(_live(directory, seed, known))
    except (TrilithError, OSError) as error:
        if is_cut():
            os._exit(EXIT_DISK_FAILED)
        os.write(1, b"wrong " + repr(error).encode() + b"\n")
    except BaseException:  # noqa: BLE001 - the parent judges it
        os.write(1, b"wrong " + repr(traceback.format_exc()).encode() + b"\n")
    os._exit(EXIT_WRONG)


def main() -> None:
    """Fork a child for each line, one after the other."""
    for line in sys.stdin:
        directory, seed, known_file, cut_file = line.split()
        known = msgspec.json.decode(Path(known_file).read_bytes(), type=Acknowledged)
        pid = os.fork()
        if pid == 0:
            _child(directory, int(seed), known, Path(cut_file).exists)
        os.write(1, b"pid %d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(1, b"ended %d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the test is over
        main()
