"""CRC-32C (Castagnoli, RFC 3720) and CRC-64/NVME (NVM Express Base 2.0, S3's default checksum).

`value` is a checksum already computed: `crc32c(b, crc32c(a)) == crc32c(a + b)`. Large inputs are
summed without the GIL. The processor's own instructions are used when it has them; the portable
forms are public only so that tests can hold both to the same oracle.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from trilith_native.crc cimport (
    crc32c_extend, crc32c_portable, crc64_extend, crc64_portable, crc_kernel_init,
)

crc_kernel_init()

# Below this, giving the GIL up and taking it back costs more than the sum.
cdef enum:
    NOGIL_BYTES = 16384


def crc32c(object data, uint32_t value=0):
    """The CRC-32C of `data`, continuing from the checksum `value`."""
    cdef Py_buffer view
    cdef uint32_t state = ~value
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len >= NOGIL_BYTES:
            with nogil:
                state = crc32c_extend(state, <const uint8_t*>view.buf, <size_t>view.len)
        else:
            state = crc32c_extend(state, <const uint8_t*>view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return <uint32_t>~state


def crc64nvme(object data, uint64_t value=0):
    """The CRC-64/NVME of `data`, continuing from the checksum `value`."""
    cdef Py_buffer view
    cdef uint64_t state = ~value
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len >= NOGIL_BYTES:
            with nogil:
                state = crc64_extend(state, <const uint8_t*>view.buf, <size_t>view.len)
        else:
            state = crc64_extend(state, <const uint8_t*>view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return <uint64_t>~state


def portable_crc32c(object data, uint32_t value=0):
    """`crc32c` by tables alone, as processors without SSE 4.2 compute it."""
    cdef Py_buffer view
    cdef uint32_t state = ~value
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        state = crc32c_portable(state, <const uint8_t*>view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return <uint32_t>~state


def portable_crc64nvme(object data, uint64_t value=0):
    """`crc64nvme` by tables alone, as processors without PCLMULQDQ compute it."""
    cdef Py_buffer view
    cdef uint64_t state = ~value
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        state = crc64_portable(state, <const uint8_t*>view.buf, <size_t>view.len)
    finally:
        PyBuffer_Release(&view)
    return <uint64_t>~state
