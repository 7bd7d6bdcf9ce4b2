"""Real files and real processes: kill -9 at any moment, and a disk whose sync fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from tests.crash.writing_child import (
    APPLIED_KEY,
    CHUNKS,
    JOURNAL,
    PARTITION,
    chunk_data,
    chunk_id,
    entry_payload,
    stop_at_once,
    system_runtime,
)

from trilith.storage.chunk_store import ChunkStore
from trilith.storage.journal import Journal
from trilith.storage.rocks_store import RocksOrderedStore

ROOT = Path(__file__).parents[2]
CYCLES = 10


def start(directory: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-m", "tests.crash.writing_child", str(directory)]
    paths = [str(ROOT), str(ROOT / "engine"), str(ROOT / "native")]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )


def read_lines(child: subprocess.Popen[str], count: int) -> list[str]:
    """Up to `count` lines; fewer when the child ends."""
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line.strip())
        if len(lines) == count:
            break
    return lines


def acknowledged(lines: list[str], kind: str) -> set[int]:
    return {int(line.split()[1]) for line in lines if line.startswith(kind + " ")}


async def verify(directory: Path, entries: set[int], chunks: set[int]) -> None:
    """Everything acknowledged is there with its bytes, and so is everything else that is there."""
    runtime = system_runtime(str(directory))
    store = RocksOrderedStore(runtime.disk.native_path("store"))
    journal = await Journal.open(runtime, "journal", JOURNAL, on_failure=stop_at_once)
    chunk_store = await ChunkStore.open(runtime, "chunks", store, CHUNKS, on_failure=stop_at_once)
    found = journal.recovered.get(PARTITION)
    last, first = (found.last_index, found.first_index) if found is not None else (0, 1)
    assert found is None or not found.damaged
    assert journal.lost_regions == []
    assert last >= max(entries, default=0)
    applied = store.get(APPLIED_KEY)
    flushed = int.from_bytes(applied, "big") if applied is not None else 0
    assert first <= flushed + 1, "only what the ordered store has flushed may be trimmed"
    read = journal.read(PARTITION, first, max_bytes=1 << 40, max_entries=1 << 40) if found else []
    for _, index, payload in read:
        assert payload == entry_payload(index)
    for number in chunks:
        assert chunk_store.read(chunk_id(number)) == chunk_data(number)
    assert chunk_store.damaged_bytes == 0 or chunk_store.chunks >= len(chunks)
    await chunk_store.close()
    await journal.close()
    store.close()
    runtime.workers.close()


def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    random = Random(1)
    entries: set[int] = set()
    chunks: set[int] = set()
    for _ in range(CYCLES):
        child = start(tmp_path)
        try:
            lines = read_lines(child, random.randint(1, 3000))
        finally:
            child.kill()
        assert child.stdout is not None
        lines += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.wait()
        child.stdout.close()
        assert lines[0] == "ready"
        entries |= acknowledged(lines, "entry")
        chunks |= acknowledged(lines, "chunk")
        asyncio.run(verify(tmp_path, entries, chunks))
    assert len(entries) > 100


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_failed_fdatasync_stops_the_process_and_loses_nothing_acknowledged(
    tmp_path: Path,
) -> None:
    inject = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync")
    inject += ("-e", "inject=fdatasync:error=EIO:when=8+")
    child = start(tmp_path, "--only-journal", prefix=inject)
    try:
        lines = read_lines(child, 5_000)  # many times what eight syncs acknowledge
        if len(lines) < 5_000:
            child.wait()
    finally:
        child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()
    if "ready" not in lines:
        pytest.skip("strace may not trace here")
    assert child.returncode == 3
    assert lines[-1] == "failed 5"
    assert sum(line.startswith("failed") for line in lines) == 1
    entries = acknowledged(lines, "entry")
    assert entries
    asyncio.run(verify(tmp_path, entries, set()))
