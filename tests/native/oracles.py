"""Slow, obvious forms of what the native core computes, written from the formats' definitions."""

import bisect
import hashlib
import hmac
import struct
from itertools import pairwise

import xxhash

# ---- checksums --------------------------------------------------------------------------------


def crc_reflected(data: bytes, value: int, polynomial: int, bits: int) -> int:
    """A reflected CRC with inverted register at both ends, bit by bit."""
    mask = (1 << bits) - 1
    register = value ^ mask
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (polynomial if register & 1 else 0)
    return register ^ mask


def crc32c(data: bytes, value: int = 0) -> int:
    return crc_reflected(data, value, 0x82F63B78, 32)


def crc64nvme(data: bytes, value: int = 0) -> int:
    return crc_reflected(data, value, 0x9A6C9329AC4BC9B5, 64)


# ---- records ----------------------------------------------------------------------------------

HEADER = struct.Struct("<IBBHIQQQ")  # what follows the CRC
PAYLOAD_MAX = 64 * 1024 * 1024


def frame(seed: int, kind: int, partition: int, epoch: int, index: int, payload: bytes) -> bytes:
    body = HEADER.pack(len(payload), kind, 0, 0, 0, partition, epoch, index) + payload
    return struct.pack("<I", crc32c(body, seed)) + body


def record_at(buffer: bytes, offset: int, seed: int) -> tuple[int, int, int, int, int, int] | None:
    if len(buffer) - offset < 40:
        return None
    (crc,) = struct.unpack_from("<I", buffer, offset)
    length, kind, flags, reserved_16, reserved_32, partition, epoch, index = HEADER.unpack_from(
        buffer, offset + 4
    )
    end = offset + 40 + length
    if kind == 0 or flags or reserved_16 or reserved_32 or length > PAYLOAD_MAX:
        return None
    if end > len(buffer) or crc32c(buffer[offset + 4 : end], seed) != crc:
        return None
    return kind, partition, epoch, index, offset + 40, length


def scan(
    buffer: bytes, offset: int, seed: int
) -> tuple[list[tuple[int, int, int, int, int, int]], int]:
    records = []
    while record := record_at(buffer, offset, seed):
        records.append(record)
        offset = record[4] + record[5]
    return records, offset


def find_valid_after(buffer: bytes, offset: int, seed: int) -> int:
    return next(
        (at for at in range(offset, len(buffer)) if record_at(buffer, at, seed) is not None), -1
    )


# ---- codec ------------------------------------------------------------------------------------


def escape_bytes(data: bytes) -> bytes:
    return data.replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def encode_batch(ops: list[tuple[int, bytes, bytes]]) -> bytes:
    return struct.pack("<I", len(ops)) + b"".join(
        struct.pack("<BII", op, len(key), len(value)) + key + value for op, key, value in ops
    )


# ---- chunker ----------------------------------------------------------------------------------


def splitmix64(state: int, count: int) -> list[int]:
    mask = 2**64 - 1
    outputs = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        outputs.append(z ^ (z >> 31))
    return outputs


GEAR = splitmix64(0x5452494C49544831, 256)


def window_hash(window: bytes) -> int:
    """The gear hash behind the last byte of `window`, from its definition as a sum."""
    return sum(GEAR[byte] << age for age, byte in enumerate(reversed(window[-64:]))) % 2**64


def next_cut(data: bytes, sizes: tuple[int, int, int], *, final: bool) -> int:
    least, average, most = sizes
    bits = average.bit_length() - 1
    for length in range(least, min(len(data), most) + 1):
        allowed = bits + 2 if length < average else bits - 2
        if length == most or window_hash(data[max(0, length - 64) : length]) >> (64 - allowed) == 0:
            return length
    return len(data) if final else 0


# ---- ring -------------------------------------------------------------------------------------


class Ring:
    def __init__(self, nodes: list[tuple[str, int]], virtual_nodes: int) -> None:
        self.points = sorted(
            (xxhash.xxh3_64_intdigest(f"{node_id}#{i}".encode()), node_id)
            for node_id, weight in nodes
            for i in range(weight * virtual_nodes)
        )

    def owners(self, token: int, count: int) -> list[str]:
        start = bisect.bisect_left(self.points, (token, ""))
        clockwise = self.points[start:] + self.points[:start]
        return list(dict.fromkeys(node_id for _, node_id in clockwise))[:count]

    def shares(self) -> dict[str, float]:
        """The part of the circle that each node owns."""
        arcs: dict[str, int] = {}
        for (before, _), (point, node_id) in pairwise([self.points[-1], *self.points]):
            arcs[node_id] = arcs.get(node_id, 0) + (point - before) % 2**64
        return {node_id: arc / 2**64 for node_id, arc in arcs.items()}


# ---- Signature Version 4 -------------------------------------------------------------------------


def request_signature(
    key: bytes,
    method: bytes,
    path: bytes,
    query: bytes,
    names: tuple[bytes, ...],
    signed_text: bytes,
    headers: dict[bytes, bytes],
    body: bytes,
    timestamp: bytes,
    scope: bytes,
) -> bytes:
    lines = [method, path, query]
    for name in names:
        value = headers.get(name, b"").strip()
        if b"  " in value or b"\t" in value:
            value = b" ".join(value.split())
        lines.append(name + b":" + value)
    lines += (b"", signed_text, hashlib.sha256(body).hexdigest().encode())
    request = hashlib.sha256(b"\n".join(lines)).hexdigest().encode()
    text = b"\n".join((b"AWS4-HMAC-SHA256", timestamp, scope, request))
    return hmac.digest(key, text, "sha256").hex().encode()
