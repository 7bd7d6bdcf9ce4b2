"""One whole HTTP/1.1 request, as nearly all clients of a table send it, read in one pass; and the
head of an answer.

`whole_request` takes the bytes that one read of a connection brought. Where they are exactly one
request of the plain kind, it returns its parts; anything else is None, and for the connection's
general parser (llhttp) to judge. Plain is: a known method; a target that begins with a slash, of
ordinary characters; CRLF at the end of each line; header names of token characters with nothing
before the colon, and values of visible characters; a body of the told Content-Length, and nothing
behind it; one Host; no Transfer-Encoding, Expect or Upgrade, nor a Connection other than `keep-alive`.
Whatever is accepted here, the general parser reads the same way (RFC 9112; tests compare them):
the two can never disagree about where a request ends.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    LENGTH_DIGITS_MAX = 15

# Of the characters of tokens, RFC 9110 section 5.6.2; 0: not one.
cdef uint8_t LOWER[256]
cdef int code
for code in range(256):
    LOWER[code] = 0
for code in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz":
    LOWER[code] = <uint8_t>code
for code in range(26):
    LOWER[65 + code] = <uint8_t>(97 + code)

cdef bint IN_TARGET[256]
for code in range(256):
    IN_TARGET[code] = False
for code in b"/-._~?=&%+:@,;!*'()$0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
    IN_TARGET[code] = True

cdef bytes CLOSE = b"connection: close\r\n"
cdef bytes CHUNKED = b"transfer-encoding: chunked\r\n"

cdef dict METHODS = {
    one.encode(): one for one in ("GET", "HEAD", "POST", "PUT", "DELETE")
}
# Names that nearly every request has, so that they are not made anew each time.
cdef dict NAMES = {
    one: one for one in (
        b"host", b"content-type", b"content-length", b"x-amz-date", b"x-amz-target",
        b"authorization", b"user-agent", b"accept-encoding", b"accept", b"connection",
        b"x-amz-security-token", b"x-amz-content-sha256", b"amz-sdk-invocation-id",
        b"amz-sdk-request", b"x-amz-user-agent",
    )
}


cdef inline bint is_plain_value(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """Visible ASCII and blanks, with no blank at either end."""
    cdef Py_ssize_t i
    if size and (data[0] == 32 or data[size - 1] == 32):
        return False
    for i in range(size):
        if data[i] < 32 or data[i] > 126:
            return False
    return True


cdef inline bint is_keep_alive(bytes value) except -1:
    return value.lower() == b"keep-alive"


cdef Py_ssize_t length_of(bytes value) noexcept:
    """Of the body; -1: no plain number."""
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(value)
    cdef Py_ssize_t i, size = PyBytes_GET_SIZE(value), length = 0
    if size == 0 or size > LENGTH_DIGITS_MAX:
        return -1
    for i in range(size):
        if data[i] < 48 or data[i] > 57:
            return -1
        length = length * 10 + (data[i] - 48)
    return length


cdef bytes name_of(const uint8_t* data, Py_ssize_t size):
    """A header's name in lower case; None when it is no token."""
    cdef bytes name = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(name)
    cdef Py_ssize_t i
    if size == 0:
        return None
    for i in range(size):
        out[i] = LOWER[data[i]]
        if out[i] == 0:
            return None
    return <bytes>NAMES.get(name, name)


def whole_request(bytes data not None, Py_ssize_t head_bytes_max):
    """(method, target, headers, body) of a plain request that is all of `data`; else None.

    `headers`: (lower-case name, value), in order. A head above `head_bytes_max` is not plain.
    """
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at, end, i, hosts = 0
    cdef Py_ssize_t length = -1
    cdef const void* found
    cdef object method
    cdef bytes target, name, value
    cdef list headers = []
    # The request line.
    found = memchr(text, 32, <size_t>min(size, 8))
    if found == NULL:
        return None
    end = <Py_ssize_t>(<size_t>found - <size_t>text)
    method = METHODS.get(data[:end])
    if method is None:
        return None
    at = end + 1
    end = at
    while end < size and IN_TARGET[text[end]]:
        end += 1
    if size - end < 11 or text[at] != 47 or memcmp(text + end, b" HTTP/1.1\r\n", 11) != 0:
        return None
    target = data[at:end]
    at = end + 11
    # The headers.
    while True:
        if size - at < 2:
            return None
        if text[at] == 13:
            if text[at + 1] != 10:
                return None
            at += 2
            break
        found = memchr(text + at, 13, <size_t>(size - at))
        if found == NULL:
            return None
        end = <Py_ssize_t>(<size_t>found - <size_t>text)
        if end > head_bytes_max or end + 1 >= size or text[end + 1] != 10:
            return None
        found = memchr(text + at, 58, <size_t>(end - at))
        if found == NULL:
            return None
        i = <Py_ssize_t>(<size_t>found - <size_t>text)
        name = name_of(text + at, i - at)
        if name is None:
            return None
        i += 1
        if i < end and text[i] == 32:
            i += 1
        if not is_plain_value(text + i, end - i):
            return None
        value = data[i:end]
        if name == b"content-length":
            if length >= 0:
                return None
            length = length_of(value)
            if length < 0:
                return None
        elif name == b"host":
            hosts += 1
        elif name == b"connection":
            if not is_keep_alive(value):
                return None
        elif name in (b"transfer-encoding", b"expect", b"upgrade", b"proxy-connection"):
            return None
        headers.append((name, value))
        at = end + 2
    if hosts != 1 or at > head_bytes_max or size - at != max(length, 0):
        return None
    return method, target, headers, data[at:]


cdef inline bint breaks_line(bytes text) noexcept:
    cdef const char* data = PyBytes_AS_STRING(text)
    cdef size_t size = <size_t>PyBytes_GET_SIZE(text)
    return (
        memchr(data, 10, size) != NULL
        or memchr(data, 13, size) != NULL
        or memchr(data, 0, size) != NULL
    )


cdef inline uint8_t* put(uint8_t* out, bytes text) noexcept:
    memcpy(out, PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text))
    return out + PyBytes_GET_SIZE(text)


def response_head(bytes status_line not None, object headers, bint close, bint chunked):
    """An answer's status line (with its CRLF) and header section, up to the blank line.

    ValueError when a name or a value would break out of its line.
    """
    cdef list pairs = list(headers)
    cdef Py_ssize_t i, size = PyBytes_GET_SIZE(status_line) + 2
    cdef bytes name, value, head
    cdef uint8_t* out
    cdef tuple pair
    if close:
        size += PyBytes_GET_SIZE(CLOSE)
    if chunked:
        size += PyBytes_GET_SIZE(CHUNKED)
    for i in range(len(pairs)):
        pair = <tuple?>pairs[i]
        if len(pair) != 2:
            raise ValueError("a header is a name and a value")
        name = <bytes?>pair[0]
        value = <bytes?>pair[1]
        if breaks_line(name) or breaks_line(value):
            raise ValueError("a header value contains a line break")
        size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
    head = PyBytes_FromStringAndSize(NULL, size)
    out = put(<uint8_t*>PyBytes_AS_STRING(head), status_line)
    for i in range(len(pairs)):
        pair = <tuple>pairs[i]
        out = put(out, <bytes>pair[0])
        out[0] = 58
        out[1] = 32
        out = put(out + 2, <bytes>pair[1])
        out[0] = 13
        out[1] = 10
        out += 2
    if close:
        out = put(out, CLOSE)
    if chunked:
        out = put(out, CHUNKED)
    out[0] = 13
    out[1] = 10
    return head
