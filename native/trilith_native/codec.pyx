"""Order-preserving key encoding, and the write batch that travels in the log.

Escaped bytes: every 00 becomes 00 FF, and 00 01 ends the string. So the encoding of one string is
never a prefix of another's, and concatenated components compare as the tuple of them does.

A write batch is `count u32` and its operations, little-endian:

    u8   op: PUT 0, DELETE 1, DELETE_RANGE 2
    u32  key length
    u32  value length: the value of a PUT, the (exclusive) end key of a DELETE_RANGE, 0 of a DELETE
    key, value

Decoding trusts nothing: every length is compared with what is left before it is used.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_Check
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcpy

cdef enum:
    OP_PUT = 0
    OP_DELETE = 1
    OP_DELETE_RANGE = 2
    COUNT_BYTES = 4
    OP_HEADER_BYTES = 9

cdef Py_ssize_t LENGTH_MAX = 0xFFFFFFFF

PUT = OP_PUT
DELETE = OP_DELETE
DELETE_RANGE = OP_DELETE_RANGE


# ---- escaped bytes ----------------------------------------------------------------------------


cdef inline Py_ssize_t find_zero(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t offset
) noexcept nogil:
    """The offset of the first zero byte at or after `offset`, or -1."""
    cdef const void* at = memchr(data + offset, 0, <size_t>(size - offset))
    # As integers: Cython's overflow checks do not know the difference of pointers.
    return -1 if at == NULL else <Py_ssize_t>(<size_t>at - <size_t>data)


cdef Py_ssize_t count_zeros(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = 0, zeros = 0
    while at < size:
        at = find_zero(data, size, at)
        if at < 0:
            break
        zeros += 1
        at += 1
    return zeros


cdef void escape_into(uint8_t* out, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        out[0] = data[i]
        out += 1
        if data[i] == 0:
            out[0] = 0xFF
            out += 1
    out[0] = 0
    out[1] = 1


cdef Py_ssize_t escaped_end(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t offset, Py_ssize_t* zeros
) noexcept nogil:
    """The offset of the terminator, counting the escaped zeros before it; -1 if malformed."""
    zeros[0] = 0
    while offset < size:
        offset = find_zero(data, size, offset)
        if offset < 0 or offset + 1 >= size:
            return -1
        if data[offset + 1] == 1:
            return offset
        if data[offset + 1] != 0xFF:
            return -1
        zeros[0] += 1
        offset += 2
    return -1


cdef void unescape_into(uint8_t* out, const uint8_t* data, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < size:
        out[0] = data[i]
        out += 1
        i += 2 if data[i] == 0 else 1


def escape_bytes(object data):
    """`data` escaped and terminated."""
    cdef Py_buffer view
    cdef Py_ssize_t zeros
    cdef bytes escaped
    cdef uint8_t* out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        zeros = count_zeros(<const uint8_t*>view.buf, view.len)
        escaped = PyBytes_FromStringAndSize(NULL, view.len + zeros + 2)
        out = <uint8_t*>PyBytes_AS_STRING(escaped)
        if zeros == 0:
            memcpy(out, view.buf, <size_t>view.len)
            out[view.len] = 0
            out[view.len + 1] = 1
        else:
            escape_into(out, <const uint8_t*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return escaped


def unescape_bytes(object buffer, Py_ssize_t offset=0):
    """The escaped string at `offset`, and the offset behind its terminator.

    ValueError: no terminator, or a 00 followed by neither FF nor 01.
    """
    cdef Py_buffer view
    cdef Py_ssize_t end, zeros = 0
    cdef const uint8_t* data
    cdef bytes plain
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        if offset < 0 or offset > view.len:
            raise ValueError(f"offset {offset} is outside the buffer of {view.len} bytes")
        data = <const uint8_t*>view.buf
        end = escaped_end(data, view.len, offset, &zeros)
        if end < 0:
            raise ValueError("malformed escaped bytes: no terminator or an unknown escape")
        plain = PyBytes_FromStringAndSize(NULL, end - offset - zeros)
        unescape_into(<uint8_t*>PyBytes_AS_STRING(plain), data + offset, end - offset)
    finally:
        PyBuffer_Release(&view)
    return plain, end + 2


# ---- write batches ----------------------------------------------------------------------------


cdef Py_ssize_t check_op(long op, bytes key, bytes value) except -1:
    """The encoded size of one operation."""
    cdef Py_ssize_t key_size, value_size
    if op < OP_PUT or op > OP_DELETE_RANGE:
        raise ValueError(f"unknown operation {op}")
    if key is None or value is None:
        raise TypeError("the key and the value of an operation are bytes")
    key_size = PyBytes_GET_SIZE(key)
    value_size = PyBytes_GET_SIZE(value)
    if op == OP_DELETE and value_size != 0:
        raise ValueError("a DELETE carries no value")
    if key_size > LENGTH_MAX or value_size > LENGTH_MAX:
        raise ValueError("a key or value of 4 GiB or more")
    return OP_HEADER_BYTES + key_size + value_size


def encode_batch(object ops):
    """A write batch of `(op, key, value)` tuples, in the order given."""
    cdef list items = list(ops)  # a copy: nobody changes it between the two passes
    cdef Py_ssize_t i, size = COUNT_BYTES, count = len(items)
    cdef tuple item
    cdef bytes key, value, batch
    cdef uint8_t* out
    cdef uint32_t word
    if count > LENGTH_MAX:
        raise ValueError("too many operations in a batch")
    for i in range(count):
        item = items[i]
        if item is None or len(item) != 3:
            raise ValueError("an operation is (op, key, value)")
        if not PyLong_Check(item[0]):
            raise TypeError("the op of an operation is an int")
        size += check_op(item[0], item[1], item[2])
    batch = PyBytes_FromStringAndSize(NULL, size)
    out = <uint8_t*>PyBytes_AS_STRING(batch)
    word = <uint32_t>count
    memcpy(out, &word, 4)
    out += COUNT_BYTES
    for i in range(count):
        item = items[i]
        key = item[1]
        value = item[2]
        out[0] = <uint8_t><long>item[0]
        word = <uint32_t>PyBytes_GET_SIZE(key)
        memcpy(out + 1, &word, 4)
        word = <uint32_t>PyBytes_GET_SIZE(value)
        memcpy(out + 5, &word, 4)
        out += OP_HEADER_BYTES
        memcpy(out, PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key))
        out += PyBytes_GET_SIZE(key)
        memcpy(out, PyBytes_AS_STRING(value), <size_t>PyBytes_GET_SIZE(value))
        out += PyBytes_GET_SIZE(value)
    return batch


cdef struct Operation:
    uint8_t op
    const uint8_t* key
    const uint8_t* value
    uint32_t key_size
    uint32_t value_size


cdef inline Py_ssize_t next_operation(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t offset, Operation* operation
) noexcept nogil:
    """Reads one operation; the offset behind it, or -1 if it is malformed or cut short."""
    cdef Py_ssize_t left = size - offset - OP_HEADER_BYTES
    if left < 0:
        return -1
    operation.op = data[offset]
    memcpy(&operation.key_size, data + offset + 1, 4)
    memcpy(&operation.value_size, data + offset + 5, 4)
    if operation.op > OP_DELETE_RANGE:
        return -1
    if operation.op == OP_DELETE and operation.value_size != 0:
        return -1
    if <Py_ssize_t>operation.key_size + <Py_ssize_t>operation.value_size > left:
        return -1
    operation.key = data + offset + OP_HEADER_BYTES
    operation.value = operation.key + operation.key_size
    return (
        offset + OP_HEADER_BYTES
        + <Py_ssize_t>operation.key_size + <Py_ssize_t>operation.value_size
    )


cdef Py_ssize_t read_count(const uint8_t* data, Py_ssize_t size) except -1:
    """The number of operations, once it is known that so many could fit."""
    cdef uint32_t count
    if size < COUNT_BYTES:
        raise ValueError(f"a batch of {size} bytes has no count")
    memcpy(&count, data, 4)
    if <Py_ssize_t>count > (size - COUNT_BYTES) // OP_HEADER_BYTES:
        raise ValueError(f"{count} operations cannot fit in a batch of {size} bytes")
    return <Py_ssize_t>count


cdef list decode(object buffer, bint keys_only):
    cdef Py_buffer view
    cdef const uint8_t* data
    cdef Py_ssize_t i, count, offset = COUNT_BYTES
    cdef Operation operation = Operation(0, NULL, NULL, 0, 0)
    cdef bytes key, value
    cdef list operations
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        data = <const uint8_t*>view.buf
        count = read_count(data, view.len)
        operations = []
        for i in range(count):
            offset = next_operation(data, view.len, offset, &operation)
            if offset < 0:
                raise ValueError(f"operation {i} of the batch is malformed or cut short")
            key = PyBytes_FromStringAndSize(<const char*>operation.key, operation.key_size)
            if keys_only and operation.op == OP_PUT:
                value = b""
            else:
                value = PyBytes_FromStringAndSize(
                    <const char*>operation.value, operation.value_size
                )
            operations.append((operation.op, key, value))
        if offset != view.len:
            raise ValueError(f"{view.len - offset} bytes follow the batch's last operation")
    finally:
        PyBuffer_Release(&view)
    return operations


def decode_batch(object buffer):
    """The batch's `(op, key, value)` tuples. ValueError: anything `encode_batch` does not make."""
    return decode(buffer, False)


def batch_keys(object buffer):
    """The keys a batch touches: `(op, key, end)`; `end` is b"" except for a DELETE_RANGE."""
    return decode(buffer, True)


def join_batches(object batches):
    """One batch with the operations of all, in order.

    Copies without walking the operations: only counts and sizes are checked (ValueError).
    """
    cdef list items = list(batches)
    cdef Py_ssize_t size = COUNT_BYTES, total = 0
    cdef bytes batch, joined
    cdef uint8_t* out
    cdef uint32_t word
    for batch in items:
        if batch is None:
            raise TypeError("a batch is bytes")
        total += read_count(<const uint8_t*>PyBytes_AS_STRING(batch), PyBytes_GET_SIZE(batch))
        size += PyBytes_GET_SIZE(batch) - COUNT_BYTES
    if total > LENGTH_MAX:
        raise ValueError("too many operations in a batch")
    joined = PyBytes_FromStringAndSize(NULL, size)
    out = <uint8_t*>PyBytes_AS_STRING(joined)
    word = <uint32_t>total
    memcpy(out, &word, 4)
    out += COUNT_BYTES
    for batch in items:
        memcpy(
            out, PyBytes_AS_STRING(batch) + COUNT_BYTES,
            <size_t>(PyBytes_GET_SIZE(batch) - COUNT_BYTES),
        )
        out += PyBytes_GET_SIZE(batch) - COUNT_BYTES
    return joined
