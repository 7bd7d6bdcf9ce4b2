"""Slow checksums, straight from their definitions: oracles that share no code with the server."""

from __future__ import annotations

from functools import cache


@cache
def _table(reflected_polynomial: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (reflected_polynomial if value & 1 else 0)
        table.append(value)
    return table


def _reflected(data: bytes, reflected_polynomial: int, bits: int) -> int:
    table, ones = _table(reflected_polynomial), (1 << bits) - 1
    value = ones
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ ones


def crc32c(data: bytes) -> int:
    """CRC-32/ISCSI (RFC 3720)."""
    return _reflected(data, 0x82F63B78, 32)


def crc64nvme(data: bytes) -> int:
    """CRC-64/NVME (NVM Express, Command Set specification 1.0, section 5.2.1.3.4)."""
    return _reflected(data, 0x9A6C9329AC4BC9B5, 64)
