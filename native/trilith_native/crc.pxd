"""CRC kernels for other modules: call crc_kernel_init() once at import before any other."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "crc_kernel.h" nogil:
    void crc_kernel_init() noexcept
    uint32_t crc32c_extend(uint32_t state, const uint8_t* data, size_t length) noexcept
    uint32_t crc32c_portable(uint32_t state, const uint8_t* data, size_t length) noexcept
    uint32_t crc32c_multiply(uint32_t a, uint32_t b) noexcept
    uint32_t crc32c_zeros_operator(uint64_t length) noexcept
    uint64_t crc64_extend(uint64_t state, const uint8_t* data, size_t length) noexcept
    uint64_t crc64_portable(uint64_t state, const uint8_t* data, size_t length) noexcept
