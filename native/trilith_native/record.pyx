"""Framing of journal and extent records.

A record is a header of HEADER_SIZE bytes and its payload, little-endian:

     0  u32  CRC-32C of everything after it, header and payload, continued from `segment_seed`
     4  u32  payload length, at most MAX_PAYLOAD
     8  u8   kind, never 0: zeroed space is no record
     9  u8   flags, 0
    10  u16  reserved, 0
    12  u32  reserved, 0
    16  u64  partition
    24  u64  epoch
    32  u64  index

`segment_seed` is a u32 that differs between a file's uses: appending bytes to a CRC state is a
bijection of the state, so a record framed under another seed *never* validates here; recycled
space is safe. Readers trust nothing: a length is compared with the buffer before a byte behind the
header is read, and the CRC decides last.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from trilith_native.crc cimport (
    crc32c_extend, crc32c_multiply, crc32c_zeros_operator, crc_kernel_init,
)

crc_kernel_init()

cdef enum:
    HEADER_BYTES = 40
    PAYLOAD_BYTES_MAX = 67108864  # 64 MiB
    # Below this, giving the GIL up and taking it back costs more than the checksum.
    NOGIL_BYTES = 32768
    # The distance of the running states that a search keeps; shorter records are summed directly.
    CHECKPOINT_BYTES = 1024

HEADER_SIZE = HEADER_BYTES
MAX_PAYLOAD = PAYLOAD_BYTES_MAX


cdef packed struct Header:
    uint32_t crc
    uint32_t length
    uint8_t kind
    uint8_t flags
    uint16_t reserved_16
    uint32_t reserved_32
    uint64_t partition
    uint64_t epoch
    uint64_t index


cdef inline bint header_is_plausible(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t offset, Header* header
) noexcept nogil:
    """Whether a whole record could lie at `offset`; fills `header`. Reads inside `size` only."""
    if size - offset < HEADER_BYTES:
        return False
    memcpy(header, data + offset, HEADER_BYTES)
    if header.kind == 0 or header.flags != 0:
        return False
    if header.reserved_16 != 0 or header.reserved_32 != 0:
        return False
    if header.length > PAYLOAD_BYTES_MAX:
        return False
    return <Py_ssize_t>header.length <= size - offset - HEADER_BYTES


cdef inline bint checksum_matches(
    const uint8_t* data, Py_ssize_t offset, const Header* header, uint32_t seed
) noexcept nogil:
    cdef uint32_t state = crc32c_extend(
        ~seed, data + offset + 4, <size_t>(HEADER_BYTES - 4) + header.length
    )
    return <uint32_t>~state == header.crc


# A search judges every offset, and hostile bytes can look like a header, with a length of megabytes,
# at every eighth. Summing each anew would take hours, so long candidates are judged from running
# states: with R(p) the state of the bytes before p begun at 0, a sum of [p, q) begun at s is
# R(q) ^ (s ^ R(p)) * x^(8 (q - p)). A candidate then costs microseconds, however long it says it is.


cdef uint32_t* running_states(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """R at every multiple of CHECKPOINT_BYTES; NULL without memory. The caller frees it."""
    cdef Py_ssize_t i, count = size // CHECKPOINT_BYTES
    cdef uint32_t* states = <uint32_t*>malloc(<size_t>(count + 1) * sizeof(uint32_t))
    if states == NULL:
        return NULL
    states[0] = 0
    for i in range(count):
        states[i + 1] = crc32c_extend(states[i], data + i * CHECKPOINT_BYTES, CHECKPOINT_BYTES)
    return states


cdef inline uint32_t running_state(
    const uint8_t* data, const uint32_t* states, Py_ssize_t place
) noexcept nogil:
    cdef Py_ssize_t i = place // CHECKPOINT_BYTES
    return crc32c_extend(
        states[i], data + i * CHECKPOINT_BYTES, <size_t>(place - i * CHECKPOINT_BYTES)
    )


cdef bint long_checksum_matches(
    const uint8_t* data, const uint32_t* states, Py_ssize_t offset, const Header* header,
    uint32_t seed,
) noexcept nogil:
    cdef Py_ssize_t length = HEADER_BYTES - 4 + <Py_ssize_t>header.length
    cdef uint32_t begin = running_state(data, states, offset + 4)
    cdef uint32_t end = running_state(data, states, offset + 4 + length)
    cdef uint32_t shifted = crc32c_multiply(
        crc32c_zeros_operator(<uint64_t>length), <uint32_t>~seed ^ begin
    )
    return <uint32_t>~(end ^ shifted) == header.crc


cdef Py_ssize_t find_valid(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t offset, uint32_t seed
) noexcept nogil:
    """The first valid record at or after `offset`; -1: none; -2: out of memory."""
    cdef Header header
    cdef uint32_t* states = NULL
    cdef Py_ssize_t found = -1
    cdef bint valid
    while size - offset >= HEADER_BYTES:
        if header_is_plausible(data, size, offset, &header):
            if header.length <= CHECKPOINT_BYTES:
                valid = checksum_matches(data, offset, &header, seed)
            else:
                if states == NULL:
                    states = running_states(data, size)
                    if states == NULL:
                        return -2
                valid = long_checksum_matches(data, states, offset, &header, seed)
            if valid:
                found = offset
                break
        offset += 1
    free(states)
    return found


def frame(
    uint32_t segment_seed, uint8_t kind, uint64_t partition, uint64_t epoch, uint64_t index,
    object payload,
):
    """One record as bytes: one allocation, one copy of the payload.

    ValueError: kind 0, or a payload over MAX_PAYLOAD. OverflowError: an integer out of its field.
    """
    cdef Py_buffer view
    cdef Header header
    cdef uint8_t* out
    cdef uint32_t state
    cdef bytes record
    if kind == 0:
        raise ValueError("record kind 0 is reserved: zeroed space must not read as a record")
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        if view.len > PAYLOAD_BYTES_MAX:
            raise ValueError(f"payload of {view.len} bytes: the limit is {PAYLOAD_BYTES_MAX}")
        record = PyBytes_FromStringAndSize(NULL, HEADER_BYTES + view.len)
        out = <uint8_t*>PyBytes_AS_STRING(record)
        header.length = <uint32_t>view.len
        header.kind = kind
        header.flags = 0
        header.reserved_16 = 0
        header.reserved_32 = 0
        header.partition = partition
        header.epoch = epoch
        header.index = index
        memcpy(out + 4, <const uint8_t*>&header + 4, HEADER_BYTES - 4)
        if view.len >= NOGIL_BYTES:
            with nogil:
                memcpy(out + HEADER_BYTES, view.buf, <size_t>view.len)
                state = crc32c_extend(
                    ~segment_seed, out + 4, <size_t>(HEADER_BYTES - 4 + view.len)
                )
        else:
            memcpy(out + HEADER_BYTES, view.buf, <size_t>view.len)
            state = crc32c_extend(~segment_seed, out + 4, <size_t>(HEADER_BYTES - 4 + view.len))
        state = ~state
        memcpy(out, &state, 4)
    finally:
        PyBuffer_Release(&view)
    return record


cdef inline int check_offset(Py_ssize_t offset, Py_ssize_t size) except -1:
    if offset < 0 or offset > size:
        raise ValueError(f"offset {offset} is outside the buffer of {size} bytes")
    return 0


def scan(object buffer, Py_ssize_t offset, uint32_t segment_seed):
    """All valid records from `offset` on, and the offset behind the last.

    Records are `(kind, partition, epoch, index, payload_offset, payload_length)`. Stops at the
    first bytes that are not a valid record; what follows them is for `find_valid_after` to say.
    """
    cdef Py_buffer view
    cdef const uint8_t* data
    cdef Header header
    cdef bint valid
    cdef list records = []
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        check_offset(offset, view.len)
        data = <const uint8_t*>view.buf
        while header_is_plausible(data, view.len, offset, &header):
            if header.length >= NOGIL_BYTES:
                with nogil:
                    valid = checksum_matches(data, offset, &header, segment_seed)
            else:
                valid = checksum_matches(data, offset, &header, segment_seed)
            if not valid:
                break
            records.append((
                header.kind, header.partition, header.epoch, header.index,
                offset + HEADER_BYTES, header.length,
            ))
            offset += HEADER_BYTES + <Py_ssize_t>header.length
    finally:
        PyBuffer_Release(&view)
    return records, offset


def find_valid_after(object buffer, Py_ssize_t offset, uint32_t segment_seed):
    """The first offset at or after `offset`, at any alignment, of a valid record; -1 if none."""
    cdef Py_buffer view
    cdef Py_ssize_t found
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        check_offset(offset, view.len)
        with nogil:
            found = find_valid(<const uint8_t*>view.buf, view.len, offset, segment_seed)
        if found == -2:
            raise MemoryError
    finally:
        PyBuffer_Release(&view)
    return found


def verify(object buffer, Py_ssize_t offset, uint32_t segment_seed):
    """Whether a whole, valid record lies at `offset`."""
    cdef Py_buffer view
    cdef Header header
    cdef bint valid
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        check_offset(offset, view.len)
        valid = header_is_plausible(<const uint8_t*>view.buf, view.len, offset, &header)
        if valid:
            with nogil:
                valid = checksum_matches(
                    <const uint8_t*>view.buf, offset, &header, segment_seed
                )
    finally:
        PyBuffer_Release(&view)
    return valid
