"""The native kernels against their oracles in plain Python; also run under the sanitizers."""

from __future__ import annotations

import struct

from tests.fuzz.target import Choices, target
from tests.native import oracles
from tests.native.general_parser import require_same

from trilith_native import chunker, codec, convergent, crc, http_request, record, ring, sigv4

SEED = 0x1234


@target(native=True)
def native_crc(data: bytes) -> None:
    choices = Choices(data)
    cut, value = choices.integer(0, 65535), choices.integer(0, 2**32 - 1)
    text = choices.rest()
    if cut & 1:  # long enough for every loop of the kernels: three lanes of 4096 bytes
        text *= 1 + 16384 // (len(text) + 1)
    view = memoryview(bytearray(text))[cut % 16 :]
    plain = bytes(view)
    split = cut % (len(plain) + 1)
    for fast, portable in (
        (crc.crc32c, crc.portable_crc32c),
        (crc.crc64nvme, crc.portable_crc64nvme),
    ):
        expected = portable(plain, value)
        assert fast(view, value) == expected
        assert fast(view[split:], fast(view[:split], value)) == expected
    if len(plain) < 200:
        assert crc.crc32c(plain, value) == oracles.crc32c(plain, value)
        assert crc.crc64nvme(plain, value) == oracles.crc64nvme(plain, value)


@target(native=True, words=(record.frame(SEED, 1, 1, 1, 1, b"x"), b"\0" * 8))
def native_record_bytes(data: bytes) -> None:
    """Any bytes: the same records as the oracle's, and nothing is read behind the end."""
    choices = Choices(data)
    offset = choices.integer(0, 255)
    if choices.flag():
        text = choices.rest()
    else:  # of records, some of them damaged
        text = b""
        while choices:
            kind = choices.integer(0, 8)
            payload = choices.blob(80)
            whole = record.frame(SEED, kind or 1, kind, 2, len(text), payload)
            if not kind:
                place = choices.integer(0, 255) % len(whole)
                flipped = bytes((whole[place] ^ choices.integer(0, 255),))
                whole = whole[:place] + flipped + whole[place + 1 :]
            text += whole[: choices.integer(0, len(whole))] if kind == 8 else whole
    offset = min(offset, len(text))
    assert record.scan(text, offset, SEED) == oracles.scan(text, offset, SEED)
    assert record.find_valid_after(text, offset, SEED) == (
        oracles.find_valid_after(text, offset, SEED)
    )
    assert record.verify(text, offset, SEED) == (oracles.record_at(text, offset, SEED) is not None)
    assert record.scan(text, 0, SEED + 1)[0] == oracles.scan(text, 0, SEED + 1)[0]


@target(native=True)
def native_record_search(data: bytes) -> None:
    """Headers that claim long payloads: the search's running states find what a sum would."""
    choices = Choices(data)
    text = bytearray(choices.integer(0, 20000))
    for _ in range(choices.integer(0, 6)):
        place = choices.integer(0, 65535) % (len(text) + 1)
        payload = bytes((choices.integer(0, 255),)) * choices.integer(0, 5000)
        whole = bytearray(record.frame(SEED, 1, 1, 1, place, payload))
        if choices.flag():
            whole[choices.integer(0, 65535) % len(whole)] ^= choices.integer(0, 255)
        text[place : place + len(whole)] = whole
    start = choices.integer(0, len(text))
    found = record.find_valid_after(text, start, SEED)
    expected = next((at for at in range(start, len(text)) if record.verify(text, at, SEED)), -1)
    assert found == expected


@target(native=True, words=(b"\0\xff", b"\0\1"))
def native_escaped_bytes(data: bytes) -> None:
    choices = Choices(data)
    first, second = choices.blob(64), choices.blob(64)
    escaped = codec.escape_bytes(first)
    assert escaped == oracles.escape_bytes(first)
    assert codec.unescape_bytes(b"ab" + escaped + b"c", 2) == (first, 2 + len(escaped))
    assert (escaped < codec.escape_bytes(second)) == (first < second)
    anything = choices.rest()
    try:
        plain, end = codec.unescape_bytes(anything)
    except ValueError:
        return
    assert codec.escape_bytes(plain) == anything[:end]


@target(native=True, words=(b"\1\0\0\0", b"\xff\xff\xff\xff"))
def native_write_batch(data: bytes) -> None:
    choices = Choices(data)
    if choices.flag():
        operations = []
        while choices:
            op = choices.integer(0, 2)
            operations.append((op, choices.blob(40), b"" if op == 1 else choices.blob(40)))
        batch = codec.encode_batch(operations)
        assert batch == oracles.encode_batch(operations)
        assert codec.decode_batch(batch) == operations
        assert codec.decode_batch(codec.join_batches([batch, batch])) == operations * 2
    anything = choices.rest() or data[1:]
    decoded = outcome(codec.decode_batch, anything)
    keys = outcome(codec.batch_keys, anything)
    assert (decoded is None) == (keys is None)
    if decoded is not None:
        assert codec.encode_batch(decoded) == anything
        assert outcome(codec.join_batches, [anything]) == anything


def outcome(function, argument):  # type: ignore[no-untyped-def]
    """What it returns; None for the one error that it documents."""
    try:
        return function(argument)
    except ValueError:
        return None


@target(native=True, input_bytes_max=4096)
def native_chunker(data: bytes) -> None:
    """Cuts are the oracle's, whatever is fed at once, and cover every byte."""
    choices = Choices(data)
    sizes = choices.pick([(64, 128, 256), (64, 64, 64), (65, 256, 1024), (100, 128, 4096)])
    repeat = choices.integer(1, 4)
    text = choices.rest() * repeat
    cutter = outcome(lambda s: chunker.Chunker(*s), sizes)
    if cutter is None:
        return
    offset = 0
    while offset < len(text):
        length = cutter.next_cut(text, offset, final=True)
        assert length == oracles.next_cut(text[offset:], sizes, final=True)
        open_end = cutter.next_cut(text, offset, final=False)
        assert open_end in (0, length)
        assert open_end == oracles.next_cut(text[offset:], sizes, final=False)
        assert 0 < length <= sizes[2]
        offset += length


@target(native=True)
def native_convergent(data: bytes) -> None:
    """What is sealed opens; what is changed does not; the same bytes have the same id."""
    choices = Choices(data)
    key, nonce = choices.bytes(32).ljust(32, b"k"), choices.bytes(12).ljust(12, b"n")
    aad, place, mask = choices.blob(30), choices.integer(0, 65535), choices.integer(0, 255)
    plain = choices.rest()
    sealed = convergent.seal(key, nonce, plain, aad)
    assert convergent.open(key, nonce, sealed, aad) == plain
    chunk_id, chunk_key, chunk = convergent.seal_chunk(key, plain)
    assert convergent.seal_chunk(key, memoryview(plain)) == (chunk_id, chunk_key, chunk)
    assert convergent.open_chunk(chunk_key, chunk) == plain
    place %= len(sealed)
    if mask:
        damaged = bytearray(sealed)
        damaged[place] ^= mask
        assert outcome(lambda s: convergent.open(key, nonce, s, aad), damaged) is None
        damaged = bytearray(chunk)
        damaged[place] ^= mask
        assert outcome(lambda s: convergent.open_chunk(chunk_key, s), damaged) is None
    assert outcome(lambda s: convergent.open(key, nonce, s, aad + b"x"), sealed) is None
    assert outcome(lambda s: convergent.open_chunk(chunk_key, s), chunk[:place]) is None
    assert outcome(lambda s: convergent.open_chunk(s, chunk), plain) in (None, plain)
    assert outcome(lambda s: convergent.open(key, s, sealed, aad), aad) in (None, plain)


@target(native=True)
def native_ring(data: bytes) -> None:
    choices = Choices(data)
    nodes = [(f"n{i}", choices.integer(0, 3)) for i in range(choices.integer(0, 5))]
    virtual_nodes = choices.integer(0, 9)
    found = outcome(lambda n: ring.Ring(n, virtual_nodes), nodes)
    if found is None:
        return
    oracle = oracles.Ring(nodes, virtual_nodes)
    while choices:
        (token,) = struct.unpack("<Q", choices.bytes(8).ljust(8, b"\xff"))
        count = choices.integer(0, 7)
        assert found.owners(token, count) == oracle.owners(token, count)
        assert [found.owner(token)] == oracle.owners(token, 1)


@target(native=True, words=(b"  ", b"\t", b" \n "))
def native_sigv4(data: bytes) -> None:
    """Any request's signature is the oracle's."""
    choices = Choices(data)
    key, method, path, query = (choices.blob(64) for _ in range(4))
    names = tuple(choices.blob(3) for _ in range(choices.integer(0, 4)))
    headers = {name: choices.blob(24) for name in names if choices.flag()}
    text, timestamp, scope = (choices.blob(30) for _ in range(3))
    signed = tuple((name, name + b":") for name in names)
    body = choices.rest()
    state = sigv4.SigningState(key)
    found = sigv4.request_signature(
        state, method, path, query, signed, text, headers, body, timestamp, scope
    )
    assert found == oracles.request_signature(
        key, method, path, query, names, text, headers, body, timestamp, scope
    )


@target(
    native=True,
    words=(
        b"POST / HTTP/1.1\r\n",
        b"content-length: 3\r\n",
        b"connection: keep-alive\r\n",
        b"transfer-encoding: chunked\r\n",
        b"\r\n\r\n",
        b"\r\n ",
    ),
)
def native_http_request(data: bytes) -> None:
    """Whatever is read in one pass, the general parser reads the same way."""
    limit = Choices(data[:2]).integer(0, 4095)
    found = http_request.whole_request(data[2:], limit)
    if found is not None:
        require_same(data[2:], found)
