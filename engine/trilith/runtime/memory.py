"""A node's memory: when garbage is looked for, and pages that are made before they are needed.

The kernel makes a page when it is touched first. A huge one takes half a millisecond, and in a
virtual machine whose host has to make it too, 5 to 6 ms: for so long nothing else runs on the
event loop. The store's memtables touch new memory all the time while writes come.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

from trilith.runtime.workers import Workers

GC_YOUNG_OBJECTS = 20_000  # requests make few cycles: look for them seldom
# For glibc, in the environment of a node. What the store and buffers take comes in huge pages: 6 %
# less processor time for each write. And it is kept when it is freed, for whoever comes next.
MALLOC_TUNABLES = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        f"glibc.malloc.mmap_threshold={8 << 20}",
        f"glibc.malloc.trim_threshold={128 << 20}",
    )
)
# glibc gives every thread its own arena of freed memory; a node has few busy threads.
NODE_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": MALLOC_TUNABLES}
_PIECE_BYTES = 4 << 20  # below the threshold: from the heap
_LOOK_S = 0.5
_BUSY_BYTES = 4 << 20  # written and not flushed: large objects alone hardly come to that


def settle() -> None:
    """The modules and tables made so far live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 100)


async def warm_up(size_bytes: int, workers: Workers) -> None:
    """Have so much of what malloc will give to this thread made by the kernel, off the loop.

    It is taken, touched by a worker, and freed: see MALLOC_TUNABLES.
    """
    libc = ctypes.CDLL(None)  # its calls let go of the GIL
    libc.malloc.restype = ctypes.c_void_p
    libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    libc.free.argtypes = (ctypes.c_void_p,)
    pieces = [libc.malloc(ctypes.c_size_t(_PIECE_BYTES)) for _ in range(size_bytes // _PIECE_BYTES)]
    for piece in filter(None, pieces):
        # Cancelled here, they are never freed: a worker may still be writing.
        await workers.run(libc.memset, piece, 0, _PIECE_BYTES)
    for piece in pieces:
        libc.free(piece)


async def keep_ahead(
    memtable_bytes: Callable[[], int], buffer_bytes: int, workers: Workers
) -> None:
    """Once there is something to do, have the memory of the memtable that is written and of the
    one that is flushed meanwhile. An idle node takes none for it.
    """
    while memtable_bytes() < min(_BUSY_BYTES, buffer_bytes):
        await asyncio.sleep(_LOOK_S)
    await warm_up(2 * buffer_bytes, workers)
