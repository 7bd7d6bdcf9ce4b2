"""The CRC of a concatenation from the CRCs of its pieces, without their bytes.

For a CRC whose initial value equals its final inversion (all of S3's are so),
crc(a + b) = crc(a) * x^(8 * len(b)) + crc(b) over GF(2), modulo the polynomial. Source: zlib's
crc32_combine (multiplication of reflected polynomials); width and polynomial are parameters here.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A reflected CRC polynomial of `width` bits, without its leading term."""

    width: int
    reflected: int
    _byte_powers: list[int] = field(default_factory=list, compare=False, repr=False)

    def combine(self, first: int, second: int, second_length: int) -> int:
        """The CRC of both pieces; `second_length` in bytes. Costs about log2(length) products."""
        return self._multiply(self._byte_shift(second_length), first) ^ second

    def _multiply(self, left: int, right: int) -> int:
        """left * right mod the polynomial; bit width-1 is x^0."""
        product = 0
        bit = 1 << (self.width - 1)
        while left:
            if left & bit:
                product ^= right
                left ^= bit
            bit >>= 1
            right = (right >> 1) ^ (self.reflected if right & 1 else 0)
        return product

    def _byte_shift(self, length: int) -> int:
        """x^(8 * length) mod the polynomial, from cached squares."""
        powers = self._byte_powers
        if not powers:
            powers.append(1 << (self.width - 1 - 8))  # x^8
        shift = 1 << (self.width - 1)  # x^0
        for position in range(length.bit_length()):
            if position == len(powers):
                powers.append(self._multiply(powers[-1], powers[-1]))
            if length >> position & 1:
                shift = self._multiply(powers[position], shift)
        return shift


CRC32 = Polynomial(32, 0xEDB88320)
CRC32C = Polynomial(32, 0x82F63B78)
CRC64NVME = Polynomial(64, 0x9A6C9329AC4BC9B5)
