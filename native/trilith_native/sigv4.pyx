"""HMAC-SHA-256 under a key that signs many messages, and Signature Version 4 of a whole request.

The canonical request, the string to sign and both digests are made without Python objects in
between. Sources: RFC 2104; AWS General Reference, "Create a signed AWS API request". SHA-256 is
libcrypto's.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t


cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_MD:
        pass
    ctypedef struct EVP_MD_CTX:
        pass
    EVP_MD* EVP_MD_fetch(void* library, const char* algorithm, const char* properties) noexcept
    EVP_MD_CTX* EVP_MD_CTX_new() noexcept
    void EVP_MD_CTX_free(EVP_MD_CTX*) noexcept
    int EVP_MD_CTX_copy_ex(EVP_MD_CTX* out, const EVP_MD_CTX* given) noexcept
    int EVP_DigestInit_ex2(EVP_MD_CTX*, const EVP_MD*, const void* parameters) noexcept
    int EVP_DigestUpdate(EVP_MD_CTX*, const void* data, size_t size) noexcept
    int EVP_DigestFinal_ex(EVP_MD_CTX*, uint8_t* out, unsigned int* size) noexcept


cdef enum:
    BLOCK_BYTES = 64
    DIGEST_BYTES = 32
    HEX_BYTES = 64

cdef EVP_MD* sha_256 = EVP_MD_fetch(NULL, b"SHA2-256", NULL)
if sha_256 == NULL:
    raise ImportError("libcrypto offers no SHA-256")

# For one digest at a time. Guarded by the GIL.
cdef EVP_MD_CTX* at_work = EVP_MD_CTX_new()
if at_work == NULL:
    raise MemoryError

cdef const uint8_t* HEX_DIGITS = b"0123456789abcdef"


cdef inline int require(int outcome) except -1:
    if outcome != 1:
        raise RuntimeError("libcrypto fails at SHA-256")
    return 0


cdef inline int add(bytes piece) except -1:
    return require(
        EVP_DigestUpdate(at_work, PyBytes_AS_STRING(piece), <size_t>PyBytes_GET_SIZE(piece))
    )


cdef inline int add_raw(const uint8_t* data, size_t size) except -1:
    return require(EVP_DigestUpdate(at_work, data, size))


cdef void write_hex(uint8_t* out, const uint8_t* digest) noexcept nogil:
    cdef int i
    for i in range(DIGEST_BYTES):
        out[2 * i] = HEX_DIGITS[digest[i] >> 4]
        out[2 * i + 1] = HEX_DIGITS[digest[i] & 15]


cdef inline bint is_space(uint8_t byte) noexcept nogil:
    """As bytes.strip takes it."""
    return byte == 32 or 9 <= byte <= 13


cdef int add_header(bytes value) except -1:
    """Trimmed; where it holds a tab or two blanks in a row, with runs of white space as one."""
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(value)
    cdef Py_ssize_t start = 0, i, end = PyBytes_GET_SIZE(value)
    while start < end and is_space(data[start]):
        start += 1
    while end > start and is_space(data[end - 1]):
        end -= 1
    for i in range(start, end):
        if data[i] == 9 or (data[i] == 32 and i + 1 < end and data[i + 1] == 32):
            return add(b" ".join(value.split()))
    return add_raw(data + start, <size_t>(end - start))


@cython.final
cdef class SigningState:
    """A key of at most 64 bytes, its two halves of HMAC's key schedule hashed. Immutable."""

    cdef EVP_MD_CTX* inner
    cdef EVP_MD_CTX* outer

    def __cinit__(self, bytes key not None):
        cdef uint8_t block[BLOCK_BYTES]
        cdef uint8_t pad[BLOCK_BYTES]
        cdef int i
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(key)
        if PyBytes_GET_SIZE(key) > BLOCK_BYTES:
            raise ValueError(f"a key of {len(key)} bytes: {BLOCK_BYTES} are the most")
        for i in range(BLOCK_BYTES):
            block[i] = data[i] if i < PyBytes_GET_SIZE(key) else 0
        self.inner = EVP_MD_CTX_new()
        self.outer = EVP_MD_CTX_new()
        if self.inner == NULL or self.outer == NULL:
            raise MemoryError
        for i in range(BLOCK_BYTES):
            pad[i] = block[i] ^ 0x36
        require(EVP_DigestInit_ex2(self.inner, sha_256, NULL))
        require(EVP_DigestUpdate(self.inner, pad, BLOCK_BYTES))
        for i in range(BLOCK_BYTES):
            pad[i] = block[i] ^ 0x5C
        require(EVP_DigestInit_ex2(self.outer, sha_256, NULL))
        require(EVP_DigestUpdate(self.outer, pad, BLOCK_BYTES))

    def __dealloc__(self):
        EVP_MD_CTX_free(self.inner)
        EVP_MD_CTX_free(self.outer)

    cdef bytes finish(self):
        """In hex, of what `at_work` has been given, beginning with `inner`."""
        cdef uint8_t digest[DIGEST_BYTES]
        cdef bytes signature
        require(EVP_DigestFinal_ex(at_work, digest, NULL))
        require(EVP_MD_CTX_copy_ex(at_work, self.outer))
        add_raw(digest, DIGEST_BYTES)
        require(EVP_DigestFinal_ex(at_work, digest, NULL))
        signature = PyBytes_FromStringAndSize(NULL, HEX_BYTES)
        write_hex(<uint8_t*>PyBytes_AS_STRING(signature), digest)
        return signature

    def sign(self, bytes message not None):
        """HMAC-SHA-256 in lower-case hex."""
        require(EVP_MD_CTX_copy_ex(at_work, self.inner))
        add(message)
        return self.finish()


def request_signature(
    SigningState state not None, bytes method not None, bytes path not None,
    bytes query not None, tuple signed not None, bytes signed_text not None,
    dict headers not None, bytes body not None, bytes timestamp not None, bytes scope not None,
):
    """The signature, in hex, of a request whose path and query are canonical already.

    `signed`: (name, name + b":") of each signed header, in order; a name that `headers` lacks has
    an empty value. `signed_text`: the names as they were sent.
    """
    cdef uint8_t digest[DIGEST_BYTES]
    cdef uint8_t body_hex[HEX_BYTES]
    cdef uint8_t request_hex[HEX_BYTES]
    cdef tuple pair
    cdef object value
    require(EVP_DigestInit_ex2(at_work, sha_256, NULL))
    add(body)
    require(EVP_DigestFinal_ex(at_work, digest, NULL))
    write_hex(body_hex, digest)
    require(EVP_DigestInit_ex2(at_work, sha_256, NULL))
    add(method)
    add_raw(b"\n", 1)
    add(path)
    add_raw(b"\n", 1)
    add(query)
    add_raw(b"\n", 1)
    for pair in signed:
        add(<bytes?>pair[1])
        value = headers.get(pair[0])
        if value is not None:
            add_header(<bytes?>value)
        add_raw(b"\n", 1)
    add_raw(b"\n", 1)
    add(signed_text)
    add_raw(b"\n", 1)
    add_raw(body_hex, HEX_BYTES)
    require(EVP_DigestFinal_ex(at_work, digest, NULL))
    write_hex(request_hex, digest)
    require(EVP_MD_CTX_copy_ex(at_work, state.inner))
    add_raw(b"AWS4-HMAC-SHA256\n", 17)
    add(timestamp)
    add_raw(b"\n", 1)
    add(scope)
    add_raw(b"\n", 1)
    add_raw(request_hex, HEX_BYTES)
    return state.finish()
