/* CRC-32C and CRC-64/NVME over memory, chosen at run time for the processor at hand.
 *
 * The functions take and return *states* (the register between two pieces of input), not finished
 * checksums: finished = ~state, and the state that continues a finished checksum is ~checksum.
 * crc_kernel_init() fills the tables of the including module and must run (under the GIL, at
 * import) before anything else here. Every object file has tables of its own: 40 KiB.
 *
 * Polynomials are written reflected: bit 31 (63) is the coefficient of x^0.
 */
#ifndef TRILITH_CRC_KERNEL_H
#define TRILITH_CRC_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define TRILITH_CRC_X86 1
#else
#define TRILITH_CRC_X86 0
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "trilith_native supports little-endian processors only"
#endif

#define CRC32C_POLY 0x82F63B78u
#define CRC64NVME_POLY 0x9A6C9329AC4BC9B5ULL

/* Bytes a lane of the three-way loops: long runs amortise the two table shifts better. */
#define CRC32C_LONG_LANE 4096
#define CRC32C_SHORT_LANE 256

static uint32_t crc32c_tables[8][256];
static uint64_t crc64_tables[8][256];
static uint32_t crc32c_x2n[64];                 /* x^(2^n) mod P */
static uint32_t crc32c_shift_long[4][256];      /* the operator: append LONG_LANE zero bytes */
static uint32_t crc32c_shift_short[4][256];
static int crc_has_sse42 = 0;
static int crc_has_pclmul = 0;
static uint64_t crc64_fold_1024[2], crc64_fold_128[2];

static inline uint64_t crc_load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* ---- polynomial arithmetic -------------------------------------------------------------- */

static inline uint32_t crc32c_multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t m = 1u << 31; m != 0 && a != 0; m >>= 1) {
        if (a & m) {
            product ^= b;
            a ^= m;
        }
        b = (b & 1) ? (b >> 1) ^ CRC32C_POLY : b >> 1;
    }
    return product;
}

/* x^(8 * bytes) mod P: multiplying a state by it appends that many zero bytes. */
static inline uint32_t crc32c_zeros_operator(uint64_t bytes) {
    uint32_t p = 1u << 31;
    for (int k = 3; bytes != 0 && k < 64; bytes >>= 1, k++)
        if (bytes & 1) p = crc32c_multiply(crc32c_x2n[k], p);
    return p;
}

static uint64_t crc64_x_power(unsigned n) { /* x^n mod P */
    uint64_t p = 1ULL << 63;
    while (n--) p = (p & 1) ? (p >> 1) ^ CRC64NVME_POLY : p >> 1;
    return p;
}

/* ---- tables ----------------------------------------------------------------------------- */

static void crc32c_fill_shift(uint32_t table[4][256], uint64_t bytes) {
    uint32_t op = crc32c_zeros_operator(bytes);
    for (uint32_t n = 0; n < 256; n++)
        for (int lane = 0; lane < 4; lane++)
            table[lane][n] = crc32c_multiply(op, n << (8 * lane));
}

static void crc_kernel_init(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        uint64_t d = n;
        for (int k = 0; k < 8; k++) {
            c = (c & 1) ? (c >> 1) ^ CRC32C_POLY : c >> 1;
            d = (d & 1) ? (d >> 1) ^ CRC64NVME_POLY : d >> 1;
        }
        crc32c_tables[0][n] = c;
        crc64_tables[0][n] = d;
    }
    for (uint32_t n = 0; n < 256; n++)
        for (int k = 1; k < 8; k++) {
            uint32_t c = crc32c_tables[k - 1][n];
            uint64_t d = crc64_tables[k - 1][n];
            crc32c_tables[k][n] = crc32c_tables[0][c & 0xff] ^ (c >> 8);
            crc64_tables[k][n] = crc64_tables[0][d & 0xff] ^ (d >> 8);
        }
    crc32c_x2n[0] = 1u << 30;
    for (int k = 1; k < 64; k++)
        crc32c_x2n[k] = crc32c_multiply(crc32c_x2n[k - 1], crc32c_x2n[k - 1]);
    crc32c_fill_shift(crc32c_shift_long, CRC32C_LONG_LANE);
    crc32c_fill_shift(crc32c_shift_short, CRC32C_SHORT_LANE);
    /* The product of two reflected 64-bit words, read as a 128-bit register, is one x too high:
     * hence the exponents less one. [0] is for the low word (64 degrees above the high word). */
    crc64_fold_1024[0] = crc64_x_power(1024 + 64 - 1);
    crc64_fold_1024[1] = crc64_x_power(1024 - 1);
    crc64_fold_128[0] = crc64_x_power(128 + 64 - 1);
    crc64_fold_128[1] = crc64_x_power(128 - 1);
#if TRILITH_CRC_X86
    __builtin_cpu_init();
    crc_has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
    crc_has_pclmul = __builtin_cpu_supports("pclmul") != 0 && crc_has_sse42;
#endif
}

/* ---- CRC-32C ---------------------------------------------------------------------------- */

static uint32_t crc32c_portable(uint32_t state, const uint8_t *p, size_t n) {
    while (n >= 8) {
        uint64_t v = crc_load64(p) ^ state;
        state = crc32c_tables[7][v & 0xff] ^ crc32c_tables[6][(v >> 8) & 0xff] ^
                crc32c_tables[5][(v >> 16) & 0xff] ^ crc32c_tables[4][(v >> 24) & 0xff] ^
                crc32c_tables[3][(v >> 32) & 0xff] ^ crc32c_tables[2][(v >> 40) & 0xff] ^
                crc32c_tables[1][(v >> 48) & 0xff] ^ crc32c_tables[0][v >> 56];
        p += 8;
        n -= 8;
    }
    while (n--) state = crc32c_tables[0][(state ^ *p++) & 0xff] ^ (state >> 8);
    return state;
}

#if TRILITH_CRC_X86
static inline uint32_t crc32c_shift(uint32_t table[4][256], uint32_t state) {
    return table[0][state & 0xff] ^ table[1][(state >> 8) & 0xff] ^
           table[2][(state >> 16) & 0xff] ^ table[3][state >> 24];
}

/* The crc32 instruction takes one operand a cycle but answers after three: three independent
 * lanes keep it busy, joined by the zeros operator. */
__attribute__((target("sse4.2")))
static uint32_t crc32c_sse42(uint32_t state, const uint8_t *p, size_t n) {
    uint64_t a = state;
#define CRC32C_LANES(LANE, TABLE)                                                     \
    while (n >= 3 * (LANE)) {                                                         \
        uint64_t b = 0, c = 0;                                                        \
        const uint8_t *end = p + (LANE);                                              \
        do {                                                                          \
            a = _mm_crc32_u64(a, crc_load64(p));                                      \
            b = _mm_crc32_u64(b, crc_load64(p + (LANE)));                             \
            c = _mm_crc32_u64(c, crc_load64(p + 2 * (LANE)));                         \
            p += 8;                                                                   \
        } while (p < end);                                                            \
        a = crc32c_shift((TABLE), (uint32_t)a) ^ b;                                   \
        a = crc32c_shift((TABLE), (uint32_t)a) ^ c;                                   \
        p += 2 * (LANE);                                                              \
        n -= 3 * (LANE);                                                              \
    }
    CRC32C_LANES(CRC32C_LONG_LANE, crc32c_shift_long)
    CRC32C_LANES(CRC32C_SHORT_LANE, crc32c_shift_short)
#undef CRC32C_LANES
    while (n >= 8) {
        a = _mm_crc32_u64(a, crc_load64(p));
        p += 8;
        n -= 8;
    }
    uint32_t s = (uint32_t)a;
    while (n--) s = _mm_crc32_u8(s, *p++);
    return s;
}
#endif

static inline uint32_t crc32c_extend(uint32_t state, const uint8_t *p, size_t n) {
#if TRILITH_CRC_X86
    if (crc_has_sse42) return crc32c_sse42(state, p, n);
#endif
    return crc32c_portable(state, p, n);
}

/* ---- CRC-64/NVME ------------------------------------------------------------------------ */

static uint64_t crc64_portable(uint64_t state, const uint8_t *p, size_t n) {
    while (n >= 8) {
        uint64_t v = crc_load64(p) ^ state;
        state = crc64_tables[7][v & 0xff] ^ crc64_tables[6][(v >> 8) & 0xff] ^
                crc64_tables[5][(v >> 16) & 0xff] ^ crc64_tables[4][(v >> 24) & 0xff] ^
                crc64_tables[3][(v >> 32) & 0xff] ^ crc64_tables[2][(v >> 40) & 0xff] ^
                crc64_tables[1][(v >> 48) & 0xff] ^ crc64_tables[0][v >> 56];
        p += 8;
        n -= 8;
    }
    while (n--) state = crc64_tables[0][(state ^ *p++) & 0xff] ^ (state >> 8);
    return state;
}

#if TRILITH_CRC_X86
__attribute__((target("pclmul,sse4.2")))
static inline __m128i crc64_fold(__m128i x, __m128i k, __m128i next) {
    return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00),
                                             _mm_clmulepi64_si128(x, k, 0x11)));
}

/* Eight 128-bit registers folded over 1024 bits at a time, then into one; the sixteen bytes
 * that are left stand for the whole prefix, and the tables finish them. Needs n >= 128. */
__attribute__((target("pclmul,sse4.2")))
static uint64_t crc64_pclmul(uint64_t state, const uint8_t *p, size_t n) {
    const __m128i k1024 = _mm_set_epi64x((long long)crc64_fold_1024[1], (long long)crc64_fold_1024[0]);
    const __m128i k128 = _mm_set_epi64x((long long)crc64_fold_128[1], (long long)crc64_fold_128[0]);
    __m128i x[8];
    for (int i = 0; i < 8; i++) x[i] = _mm_loadu_si128((const __m128i *)(p + 16 * i));
    x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, (long long)state));
    p += 128;
    n -= 128;
    while (n >= 128) {
        for (int i = 0; i < 8; i++)
            x[i] = crc64_fold(x[i], k1024, _mm_loadu_si128((const __m128i *)(p + 16 * i)));
        p += 128;
        n -= 128;
    }
    for (int i = 1; i < 8; i++) x[0] = crc64_fold(x[0], k128, x[i]);
    while (n >= 16) {
        x[0] = crc64_fold(x[0], k128, _mm_loadu_si128((const __m128i *)p));
        p += 16;
        n -= 16;
    }
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)rest, x[0]);
    return crc64_portable(crc64_portable(0, rest, 16), p, n);
}
#endif

static inline uint64_t crc64_extend(uint64_t state, const uint8_t *p, size_t n) {
#if TRILITH_CRC_X86
    if (crc_has_pclmul && n >= 128) return crc64_pclmul(state, p, n);
#endif
    return crc64_portable(state, p, n);
}

#endif
