"""Python's small objects in huge pages.

A node touches some ten megabytes of small objects for every request that it serves, all over its
heap. In pages of 4 KiB nearly each touch is a miss of the address translation cache, which costs
most in a virtual machine. pymalloc takes its memory in arenas of 1 MiB; `install` gives it halves
of 2 MiB regions, aligned, for which huge pages are asked (madvise: where the system's mode is
`madvise` or `always`; elsewhere they are ordinary memory).

Arenas that pymalloc took before stay where they are, and go back to where they came from.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uintptr_t


cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS, MADV_HUGEPAGE
    void* MAP_FAILED
    void* mmap(void* address, size_t size, int protection, int flags, int file, long at) noexcept
    int munmap(void* address, size_t size) noexcept
    int madvise(void* address, size_t size, int advice) noexcept


cdef extern from "Python.h" nogil:
    ctypedef struct PyObjectArenaAllocator:
        void* ctx
        void* (*alloc)(void* ctx, size_t size) noexcept nogil
        void (*free)(void* ctx, void* address, size_t size) noexcept nogil

    void PyObject_GetArenaAllocator(PyObjectArenaAllocator* allocator)
    void PyObject_SetArenaAllocator(PyObjectArenaAllocator* allocator)


cdef enum:
    REGION_BYTES = 2097152
    ARENA_BYTES = 1048576
    REGIONS_MAX = 8192  # 16 GiB; further arenas are ordinary ones

cdef struct Region:
    uintptr_t start
    int used  # bit 0 and 1: its halves

# Guarded by the GIL, as pymalloc is. In order of their making; a region whose halves both came
# back is unmapped, and the last one takes its place.
cdef Region regions[REGIONS_MAX]
cdef int region_count = 0
cdef PyObjectArenaAllocator former
cdef bint installed = False


cdef uintptr_t map_region() noexcept nogil:
    """2 MiB at a multiple of 2 MiB; 0: no memory."""
    cdef uintptr_t start, aligned, end
    cdef void* mapped = mmap(
        NULL, 2 * REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
    )
    if mapped == MAP_FAILED:
        return 0
    start = <uintptr_t>mapped
    end = start + 2 * REGION_BYTES
    aligned = (start + REGION_BYTES - 1) & ~<uintptr_t>(REGION_BYTES - 1)
    if aligned > start:
        munmap(mapped, aligned - start)
    if end > aligned + REGION_BYTES:
        munmap(<void*>(aligned + REGION_BYTES), end - aligned - REGION_BYTES)
    # A wish: where it is refused, it is memory all the same.
    madvise(<void*>aligned, REGION_BYTES, MADV_HUGEPAGE)
    return aligned


cdef void* take_arena(void* context, size_t size) noexcept nogil:
    global region_count
    cdef int i
    cdef uintptr_t start
    if size != ARENA_BYTES:
        return former.alloc(former.ctx, size)
    for i in range(region_count):
        if regions[i].used == 2:
            regions[i].used = 3
            return <void*>regions[i].start
        if regions[i].used == 1:
            regions[i].used = 3
            return <void*>(regions[i].start + ARENA_BYTES)
    if region_count >= REGIONS_MAX:
        return former.alloc(former.ctx, size)
    start = map_region()
    if start == 0:
        return NULL
    regions[region_count].start = start
    regions[region_count].used = 1
    region_count += 1
    return <void*>start


cdef void give_arena(void* context, void* address, size_t size) noexcept nogil:
    global region_count
    cdef int i
    cdef uintptr_t place = <uintptr_t>address
    cdef uintptr_t start = place & ~<uintptr_t>(REGION_BYTES - 1)
    if size == ARENA_BYTES:
        for i in range(region_count):
            if regions[i].start == start:
                regions[i].used &= ~(1 if place == start else 2)
                if regions[i].used == 0:
                    munmap(<void*>start, REGION_BYTES)
                    region_count -= 1
                    regions[i] = regions[region_count]
                return
    former.free(former.ctx, address, size)


def install():
    """From here on pymalloc's new arenas lie in huge pages. Once for the process; then nothing."""
    global installed
    cdef PyObjectArenaAllocator ours
    if installed:
        return
    PyObject_GetArenaAllocator(&former)
    ours.ctx = NULL
    ours.alloc = take_arena
    ours.free = give_arena
    PyObject_SetArenaAllocator(&ours)
    installed = True


def held():
    """(regions, arenas in them): for tests and for the curious."""
    cdef int i, arenas = 0
    for i in range(region_count):
        arenas += (regions[i].used & 1) + (regions[i].used >> 1)
    return region_count, arenas
