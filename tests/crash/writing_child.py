"""A process that writes through a journal and a chunk store on real files, until it is killed.

Usage: python -m tests.crash.writing_child DIRECTORY [--only-journal]. Prints a line per
acknowledgement: `entry INDEX` or `chunk NUMBER`. Payloads follow from the numbers.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys

import uvloop

from trilith.runtime.clock import SystemClock
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig
from trilith.storage.journal import ENTRY, Journal, JournalConfig
from trilith.storage.ordered_store import PUT
from trilith.storage.rocks_store import RocksOrderedStore

JOURNAL = JournalConfig("node-1", segment_bytes=1 << 20, retain_bytes=1 << 21)
CHUNKS = ChunkStoreConfig("node-1", extent_bytes=1 << 24, extent_bytes_min=1 << 22)
PARTITION = 7
APPLIED_KEY = b"\x02applied"


def entry_payload(index: int) -> bytes:
    return hashlib.shake_128(b"entry %d" % index).digest(100 + index * 37 % 6000)


def chunk_data(number: int) -> bytes:
    return hashlib.shake_128(b"chunk %d" % number).digest(1000 + number * 7919 % 200_000)


def chunk_id(number: int) -> bytes:
    return hashlib.sha256(b"chunk %d" % number).digest()


def system_runtime(directory: str) -> Runtime:
    return Runtime(
        clock=SystemClock(),
        disk=SystemDisk(directory),
        network=None,  # type: ignore[arg-type]  # storage has no use for it
        workers=ThreadWorkers(2),
        entropy=SystemEntropy(),
    )


def stop_at_once(error: OSError) -> None:
    """What a node does: say so, and stop."""
    os.write(1, b"failed %d\n" % (error.errno or 0))
    os._exit(3)


def acknowledge(kind: str, number: int) -> None:
    os.write(1, f"{kind} {number}\n".encode())


async def write_entries(journal: Journal, store: RocksOrderedStore, *, trim: bool) -> None:
    flushing: asyncio.Future[None] | None = None
    while True:
        index = journal.last_index(PARTITION) + 1
        journal.append(
            ENTRY,
            PARTITION,
            1,
            index,
            entry_payload(index),
            lambda i=index: acknowledge("entry", i),
        )
        store.write([(PUT, APPLIED_KEY, index.to_bytes(8, "big"))])
        if trim and index % 500 == 0 and (flushing is None or flushing.done()):
            flushing = asyncio.ensure_future(flush_and_trim(journal, store, index - 100))
        if index % 20 == 0:
            durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            journal.probe(lambda done=durable: done.set_result(None))
            await durable


async def flush_and_trim(journal: Journal, store: RocksOrderedStore, index: int) -> None:
    await asyncio.get_running_loop().run_in_executor(None, store.flush)
    journal.trim({PARTITION: index})


async def write_chunks(chunks: ChunkStore, first: int, step: int) -> None:
    number = first
    while True:
        if not chunks.contains(chunk_id(number)):
            await chunks.store(chunk_id(number), chunk_data(number))
        acknowledge("chunk", number)
        number += step


async def main(directory: str) -> None:
    runtime = system_runtime(directory)
    store = RocksOrderedStore(runtime.disk.native_path("store"))
    journal = await Journal.open(runtime, "journal", JOURNAL, on_failure=stop_at_once)
    chunks = await ChunkStore.open(runtime, "chunks", store, CHUNKS, on_failure=stop_at_once)
    os.write(1, b"ready\n")
    only_journal = "--only-journal" in sys.argv
    writers = [] if only_journal else [write_chunks(chunks, first, 3) for first in range(3)]
    await asyncio.gather(write_entries(journal, store, trim=not only_journal), *writers)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
