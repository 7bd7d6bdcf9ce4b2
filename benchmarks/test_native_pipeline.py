"""The chunk pipeline, byte by byte. Targets: chunking and the whole pipeline >= 1.5 GB/s a core."""

import pytest

from trilith_native import chunker, convergent, crc

from .conftest import Throughput

SALT, KEY, NONCE = b"s" * 32, bytes(range(32)), bytes(12)
DEFAULT_SIZES = (256 << 10, 1 << 20, 4 << 20)


def cut_all(cutter: chunker.Chunker, data: bytes) -> list[tuple[int, int]]:
    found, offset = [], 0
    while length := cutter.next_cut(data, offset, final=True):
        found.append((offset, offset + length))
        offset += length
    return found


def test_chunking(throughput: Throughput, noise: bytes) -> None:
    cutter = chunker.Chunker(*DEFAULT_SIZES)
    throughput(lambda: cut_all(cutter, noise), len(noise))


def test_chunking_zeros(throughput: Throughput) -> None:
    cutter, zeros = chunker.Chunker(*DEFAULT_SIZES), bytes(32 << 20)
    throughput(lambda: cut_all(cutter, zeros), len(zeros))


def test_hash_derive_encrypt_checksum(throughput: Throughput, noise: bytes) -> None:
    view = memoryview(noise)
    chunks = [view[a:b] for a, b in cut_all(chunker.Chunker(*DEFAULT_SIZES), noise)]

    def run() -> None:
        for chunk in chunks:
            crc.crc32c(convergent.seal_chunk(SALT, chunk)[2])

    throughput(run, len(noise))


def test_checksum_decrypt(throughput: Throughput, noise: bytes) -> None:
    view = memoryview(noise)
    chunks = [
        convergent.seal_chunk(SALT, view[a:b])
        for a, b in cut_all(chunker.Chunker(*DEFAULT_SIZES), noise)
    ]

    def run() -> None:
        for _, key, sealed in chunks:
            crc.crc32c(sealed)
            convergent.open_chunk(key, sealed)

    throughput(run, len(noise))


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_seal(throughput: Throughput, noise: bytes, size: int) -> None:
    throughput(lambda: convergent.seal(KEY, NONCE, noise[:size]), size)


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_open(throughput: Throughput, noise: bytes, size: int) -> None:
    sealed = convergent.seal(KEY, NONCE, noise[:size])
    throughput(lambda: convergent.open(KEY, NONCE, sealed), size)


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_seal_chunk(throughput: Throughput, noise: bytes, size: int) -> None:
    chunk = noise[:size]
    throughput(lambda: convergent.seal_chunk(SALT, chunk), size)


@pytest.mark.parametrize("name", ["crc32c", "crc64nvme", "portable_crc32c", "portable_crc64nvme"])
def test_checksum(throughput: Throughput, noise: bytes, name: str) -> None:
    function, chunk = getattr(crc, name), noise[: 1 << 20]
    throughput(lambda: function(chunk), len(chunk))
