"""Memory that was made ahead is what malloc gives out next."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from trilith.runtime.memory import MALLOC_TUNABLES

# As a node does: a loop, a worker, and then whoever wants memory for a memtable's blocks.
PROGRAM = """
import asyncio
from trilith.runtime.memory import keep_ahead
from trilith.runtime.workers import ThreadWorkers

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

async def main():
    used, workers, before = [0], ThreadWorkers(1), resident()
    task = asyncio.create_task(keep_ahead(lambda: used[0], 16 << 20, workers))
    await asyncio.sleep(0)
    idle = resident() - before
    used[0] = 8 << 20
    await asyncio.wait_for(task, 30)
    warm = resident() - before
    blocks = [bytearray(2 << 20) for _ in range(14)]
    print(idle >> 20, warm >> 20, (resident() - before) >> 20)
    workers.close()

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its tunables are glibc's")
def test_a_node_that_is_written_to_has_the_memory_of_its_next_blocks_already() -> None:
    environment = {**os.environ, "GLIBC_TUNABLES": MALLOC_TUNABLES, "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    idle_mib, warm_mib, used_mib = map(int, done.stdout.split())
    assert idle_mib < 4  # nothing is taken before there is something to do
    assert warm_mib >= 31
    assert used_mib < warm_mib + 6  # 28 MiB of blocks found their memory there
