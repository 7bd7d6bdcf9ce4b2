"""Content-defined chunking: FastCDC (Xia et al., "The Design of Fast Content-Defined Chunking",
IEEE TPDS 2020) with normalised chunking of level 2.

The gear hash after byte i is `h = 2 * h + GEAR[byte]` mod 2**64, so it depends on the last 64
bytes alone. A chunk may end behind a byte where the hash, seen as a number, is under a threshold:
`2**(64 - n)` lets one position in `2**n` through. With `b = floor(log2(avg_bytes))`, n is `b + 2`
for lengths under avg_bytes and `b - 2` from there on; max_bytes ends a chunk regardless. The
first min_bytes are skipped, except that the last 64 of them warm the hash up: whether a position
may be a cut is a property of the 64 bytes before it alone, so shifted data finds its old cuts.

GEAR and this rule are part of the stored format: changing either ends deduplication with all that
is stored. GEAR[i] is the (i+1)-th output of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) started
at GEAR_SEED.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    WINDOW_BYTES = 64
    CHUNK_BYTES_LIMIT = 1073741824  # 1 GiB
    NORMALISATION_BITS = 2
    # Below this, giving the GIL up and taking it back costs more than the scan.
    NOGIL_BYTES = 8192

GEAR_SEED = 0x5452494C49544831  # "TRILITH1"

cdef uint64_t[256] gear


@cython.overflowcheck(False)
cdef void fill_gear(uint64_t state) noexcept nogil:
    cdef int i
    cdef uint64_t z
    for i in range(256):
        state = state + <uint64_t>0x9E3779B97F4A7C15
        z = state
        z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
        gear[i] = z ^ (z >> 31)


fill_gear(GEAR_SEED)
GEAR = tuple([gear[i] for i in range(256)])


@cython.overflowcheck(False)
cdef const uint8_t* scan(
    const uint8_t* at, const uint8_t* end, uint64_t threshold, uint64_t* hash
) noexcept nogil:
    """The place behind the first byte in [at, end) where a chunk may end, or NULL.

    Carries `hash` from one run to the next. The sum, not the loads, is the critical path: one add
    and one shift a byte; eight bytes a turn keep the loop's own cost out of it.
    """
    cdef uint64_t h = hash[0]
    while end - at >= 8:
        h = (h << 1) + gear[at[0]]
        if h < threshold:
            return at + 1
        h = (h << 1) + gear[at[1]]
        if h < threshold:
            return at + 2
        h = (h << 1) + gear[at[2]]
        if h < threshold:
            return at + 3
        h = (h << 1) + gear[at[3]]
        if h < threshold:
            return at + 4
        h = (h << 1) + gear[at[4]]
        if h < threshold:
            return at + 5
        h = (h << 1) + gear[at[5]]
        if h < threshold:
            return at + 6
        h = (h << 1) + gear[at[6]]
        if h < threshold:
            return at + 7
        h = (h << 1) + gear[at[7]]
        if h < threshold:
            return at + 8
        at += 8
    while at < end:
        h = (h << 1) + gear[at[0]]
        at += 1
        if h < threshold:
            return at
    hash[0] = h
    return NULL


@cython.overflowcheck(False)
cdef uint64_t warm_up(const uint8_t* at, const uint8_t* end) noexcept nogil:
    cdef uint64_t h = 0
    while at < end:
        h = (h << 1) + gear[at[0]]
        at += 1
    return h


cdef struct Limits:
    Py_ssize_t least
    Py_ssize_t average
    Py_ssize_t most
    uint64_t strict_threshold
    uint64_t loose_threshold


cdef Py_ssize_t find_cut(
    const uint8_t* data, Py_ssize_t size, const Limits* limits, bint final
) noexcept nogil:
    """The length of the chunk that starts at `data`; 0 if `size` bytes do not decide it."""
    cdef Py_ssize_t stop = min(size, limits.most)
    cdef const uint8_t* cut = NULL
    cdef uint64_t h
    # The byte that completes a chunk of the least length is the first that is judged.
    cdef Py_ssize_t first = limits.least - 1
    if stop > first and limits.least < limits.most:
        h = warm_up(data + max(0, first - (WINDOW_BYTES - 1)), data + first)
        cut = scan(
            data + first, data + max(first, min(stop, limits.average - 1)),
            limits.strict_threshold, &h,
        )
        if cut == NULL:
            cut = scan(
                data + max(first, min(stop, limits.average - 1)), data + stop,
                limits.loose_threshold, &h,
            )
        if cut != NULL:
            # As integers: Cython's overflow checks do not know the difference of pointers.
            return <Py_ssize_t>(<size_t>cut - <size_t>data)
    if stop == limits.most:
        return stop
    return size if final else 0


@cython.final
cdef class Chunker:
    """Finds chunk ends. Keeps nothing between calls, so one serves all streams and threads.

    `64 <= min_bytes <= avg_bytes <= max_bytes <= 1 GiB`; three equal sizes cut fixed-size chunks.
    """

    cdef Limits limits

    def __cinit__(self, Py_ssize_t min_bytes, Py_ssize_t avg_bytes, Py_ssize_t max_bytes):
        if not WINDOW_BYTES <= min_bytes <= avg_bytes <= max_bytes <= CHUNK_BYTES_LIMIT:
            raise ValueError(
                f"chunk sizes min {min_bytes}, avg {avg_bytes}, max {max_bytes}: they must rise, "
                f"from {WINDOW_BYTES} to {CHUNK_BYTES_LIMIT} bytes"
            )
        cdef int bits = avg_bytes.bit_length() - 1
        self.limits.least = min_bytes
        self.limits.average = avg_bytes
        self.limits.most = max_bytes
        self.limits.strict_threshold = <uint64_t>1 << (64 - bits - NORMALISATION_BITS)
        self.limits.loose_threshold = <uint64_t>1 << (64 - bits + NORMALISATION_BITS)

    @property
    def min_bytes(self):
        return self.limits.least

    @property
    def avg_bytes(self):
        return self.limits.average

    @property
    def max_bytes(self):
        return self.limits.most

    def next_cut(self, object buffer, Py_ssize_t offset=0, *, bint final):
        """The length of the chunk that starts at `offset`, or 0 if more bytes are needed.

        `final` says that the stream ends with the buffer: then the rest is a chunk if nothing cuts
        it, and 0 means that nothing is left. A caller that holds max_bytes from `offset` on always
        gets a cut, and never scans a byte twice.
        """
        cdef Py_buffer view
        cdef Py_ssize_t length
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
        try:
            if offset < 0 or offset > view.len:
                raise ValueError(f"offset {offset} is outside the buffer of {view.len} bytes")
            if view.len - offset >= NOGIL_BYTES:
                with nogil:
                    length = find_cut(
                        <const uint8_t*>view.buf + offset, view.len - offset, &self.limits, final
                    )
            else:
                length = find_cut(
                    <const uint8_t*>view.buf + offset, view.len - offset, &self.limits, final
                )
        finally:
            PyBuffer_Release(&view)
        return length
