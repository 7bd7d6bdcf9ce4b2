"""Salted convergent encryption (Brooker et al., "On-demand Container Loading in AWS Lambda",
USENIX ATC 2023) and the AES-256-GCM under it.

    digest   = BLAKE3-keyed(salt, plaintext)
    key      = BLAKE3-derive-key("trilith v1 chunk key", digest)
    chunk id = BLAKE3-derive-key("trilith v1 chunk id", digest)
    sealed   = AES-256-GCM(key, nonce = 0, plaintext), ciphertext and then the 16-byte tag

The zero nonce is safe because a key is the image of one plaintext: no two messages share it. Equal
plaintexts under one salt give equal chunks, and nothing can be probed without the salt.

AES and GHASH are libcrypto's, BLAKE3 the `blake3` package's. No Python object is touched while
libcrypto runs on large inputs: the GIL is free. Nothing unauthenticated is ever returned.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from blake3 import blake3


cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_CIPHER:
        pass
    ctypedef struct EVP_CIPHER_CTX:
        pass
    int EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG
    EVP_CIPHER* EVP_CIPHER_fetch(
        void* library, const char* algorithm, const char* properties) noexcept
    EVP_CIPHER_CTX* EVP_CIPHER_CTX_new() noexcept
    void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX*) noexcept
    int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX*, int kind, int argument, void* data) noexcept
    int EVP_CipherInit_ex2(
        EVP_CIPHER_CTX*, const EVP_CIPHER*, const uint8_t* key, const uint8_t* iv, int encrypt,
        const void* parameters) noexcept
    int EVP_CipherUpdate(
        EVP_CIPHER_CTX*, uint8_t* out, int* written, const uint8_t* data, int size) noexcept
    int EVP_CipherFinal_ex(EVP_CIPHER_CTX*, uint8_t* out, int* written) noexcept


cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_cleanse(void* data, size_t size) noexcept


cdef enum:
    KEY_BYTES = 32
    NONCE_BYTES = 12
    TAG_BYTES = 16
    MESSAGE_BYTES_MAX = 1073741824  # 1 GiB: libcrypto counts in int
    CONTEXTS_KEPT = 16
    # Below this, giving the GIL up and taking it back costs too much of the whole.
    NOGIL_BYTES = 16384

KEY_SIZE = KEY_BYTES
NONCE_SIZE = NONCE_BYTES
TAG_SIZE = TAG_BYTES

cdef EVP_CIPHER* aes_256_gcm = EVP_CIPHER_fetch(NULL, b"AES-256-GCM", NULL)
if aes_256_gcm == NULL:
    raise ImportError("libcrypto offers no AES-256-GCM")

cdef bytes ZERO_NONCE = bytes(NONCE_BYTES)

# Hashers that have read their context: a copy of one costs less than reading the context again.
cdef object key_hasher = blake3(derive_key_context="trilith v1 chunk key")
cdef object id_hasher = blake3(derive_key_context="trilith v1 chunk id")

# Idle contexts, the cipher set. Making one costs more than sealing 1 KiB. Guarded by the GIL.
cdef EVP_CIPHER_CTX* idle_contexts[CONTEXTS_KEPT]
cdef int idle_count = 0


cdef EVP_CIPHER_CTX* take_context() except NULL:
    global idle_count
    cdef EVP_CIPHER_CTX* context
    if idle_count > 0:
        idle_count -= 1
        return idle_contexts[idle_count]
    context = EVP_CIPHER_CTX_new()
    if context == NULL:
        raise MemoryError
    if EVP_CipherInit_ex2(context, aes_256_gcm, NULL, NULL, 1, NULL) != 1:
        EVP_CIPHER_CTX_free(context)
        raise RuntimeError("libcrypto refuses AES-256-GCM")
    return context


cdef void give_context(EVP_CIPHER_CTX* context) noexcept:
    global idle_count
    if idle_count < CONTEXTS_KEPT:
        idle_contexts[idle_count] = context
        idle_count += 1
    else:
        EVP_CIPHER_CTX_free(context)


cdef struct Message:
    EVP_CIPHER_CTX* context
    const uint8_t* key
    const uint8_t* nonce
    const uint8_t* aad
    int aad_size
    const uint8_t* data
    int size             # of the plaintext, or of the ciphertext without its tag
    uint8_t* out


cdef bint begin(const Message* message, int encrypt) noexcept nogil:
    cdef int written
    if EVP_CipherInit_ex2(
        message.context, NULL, message.key, message.nonce, encrypt, NULL
    ) != 1:
        return False
    if message.aad_size > 0:
        return EVP_CipherUpdate(
            message.context, NULL, &written, message.aad, message.aad_size
        ) == 1
    return True


cdef bint encrypt_message(const Message* message) noexcept nogil:
    cdef int written
    return (
        begin(message, 1)
        and EVP_CipherUpdate(
            message.context, message.out, &written, message.data, message.size) == 1
        and EVP_CipherFinal_ex(message.context, message.out + message.size, &written) == 1
        and EVP_CIPHER_CTX_ctrl(
            message.context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, message.out + message.size) == 1
    )


cdef bint decrypt_message(const Message* message) noexcept nogil:
    cdef int written
    if (
        begin(message, 0)
        and EVP_CipherUpdate(
            message.context, message.out, &written, message.data, message.size) == 1
        and EVP_CIPHER_CTX_ctrl(
            message.context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
            <void*>(message.data + message.size)) == 1
        and EVP_CipherFinal_ex(message.context, message.out + message.size, &written) == 1
    ):
        return True
    OPENSSL_cleanse(message.out, <size_t>message.size)
    return False


cdef bytes run(bytes key, bytes nonce, Py_buffer* data, Py_buffer* aad, bint encrypt):
    cdef Message message
    cdef bytes out
    cdef bint good
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes: AES-256 takes {KEY_BYTES}")
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce of {len(nonce)} bytes: it must have {NONCE_BYTES}")
    if data.len > MESSAGE_BYTES_MAX or aad.len > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message over {MESSAGE_BYTES_MAX} bytes")
    if not encrypt and data.len < TAG_BYTES:
        raise ValueError(f"sealed data of {data.len} bytes has no tag")
    message.size = <int>data.len if encrypt else <int>data.len - TAG_BYTES
    out = PyBytes_FromStringAndSize(NULL, message.size + (TAG_BYTES if encrypt else 0))
    message.context = take_context()
    message.key = <const uint8_t*>PyBytes_AS_STRING(key)
    message.nonce = <const uint8_t*>PyBytes_AS_STRING(nonce)
    message.aad = <const uint8_t*>aad.buf
    message.aad_size = <int>aad.len
    message.data = <const uint8_t*>data.buf
    message.out = <uint8_t*>PyBytes_AS_STRING(out)
    if data.len >= NOGIL_BYTES:
        with nogil:
            good = encrypt_message(&message) if encrypt else decrypt_message(&message)
    else:
        good = encrypt_message(&message) if encrypt else decrypt_message(&message)
    give_context(message.context)
    if not good:
        if encrypt:
            raise RuntimeError("libcrypto failed to encrypt")
        raise ValueError("the sealed data does not authenticate under this key and nonce")
    return out


cdef bytes run_on(bytes key, bytes nonce, object data, object aad, bint encrypt):
    cdef Py_buffer data_view, aad_view
    PyObject_GetBuffer(data, &data_view, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(aad, &aad_view, PyBUF_SIMPLE)
        try:
            return run(key, nonce, &data_view, &aad_view, encrypt)
        finally:
            PyBuffer_Release(&aad_view)
    finally:
        PyBuffer_Release(&data_view)


def seal(bytes key not None, bytes nonce not None, object plaintext, object aad=b""):
    """AES-256-GCM: the ciphertext and its 16-byte tag. A nonce must never recur under one key."""
    return run_on(key, nonce, plaintext, aad, True)


def open(bytes key not None, bytes nonce not None, object sealed, object aad=b""):  # noqa: A001
    """The plaintext of what `seal` made. ValueError: key, nonce, aad or data are not those."""
    return run_on(key, nonce, sealed, aad, False)


def derive(object digest):
    """The encryption key and the chunk id (32 bytes each) of a chunk's digest."""
    if len(digest) != KEY_BYTES:
        raise ValueError(f"a digest of {len(digest)} bytes: BLAKE3's has {KEY_BYTES}")
    cdef object key = key_hasher.copy()
    cdef object chunk_id = id_hasher.copy()
    key.update(digest)
    chunk_id.update(digest)
    return key.digest(), chunk_id.digest()


def seal_chunk(bytes salt not None, object plaintext):
    """`(chunk_id, key, sealed)` of a chunk: hash under the salt, derive, encrypt."""
    if len(salt) != KEY_BYTES:
        raise ValueError(f"a salt of {len(salt)} bytes: it must have {KEY_BYTES}")
    key, chunk_id = derive(blake3(plaintext, key=salt).digest())
    return chunk_id, key, run_on(key, ZERO_NONCE, plaintext, b"", True)


def open_chunk(bytes key not None, object sealed):
    """The plaintext of a sealed chunk. ValueError: it is not the chunk that has this key."""
    return run_on(key, ZERO_NONCE, sealed, b"", False)
