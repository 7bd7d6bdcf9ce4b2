"""The aws-chunked decoder: any split gives the same bytes, and nothing hostile gets through."""

from __future__ import annotations

import io
import tracemalloc
from itertools import pairwise

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given
from hypothesis import strategies as st

from trilith.s3.authentication import PayloadKind
from trilith.s3.aws_chunked import LINE_BYTES_MAX, TRAILER_BYTES_MAX, ChunkedDecoder
from trilith.s3.errors import S3Error

from .chunk_encoding import encode, signer

KINDS = [kind for kind in PayloadKind if kind.is_chunked]
WITH_TRAILER = [PayloadKind.CHUNKS_SIGNED_TRAILER, PayloadKind.CHUNKS_UNSIGNED_TRAILER]
TRAILER = ("x-amz-checksum-crc32", "AAAAAA==")
CHUNKS = st.lists(st.binary(max_size=300), max_size=6)


def decoder(kind: PayloadKind, length: int, *trailers: str) -> ChunkedDecoder:
    names = [name.encode() for name in trailers]
    return ChunkedDecoder(kind, length, signer=signer(), trailer_names=names)


def trailers_of(kind: PayloadKind) -> list[tuple[str, str]]:
    return [TRAILER] if kind in WITH_TRAILER else []


def decode(kind: PayloadKind, wire: bytes, length: int, *, trailers: bool = True) -> bytes:
    names = [name for name, _ in trailers_of(kind)] if trailers else []
    decoding = decoder(kind, length, *names)
    data = b"".join(decoding.feed(wire))
    decoding.finish()
    return data


def refused(kind: PayloadKind, wire: bytes, length: int) -> str:
    with pytest.raises(S3Error) as caught:
        decode(kind, wire, length)
    return caught.value.code


@given(st.sampled_from(KINDS), CHUNKS, st.lists(st.integers(0, 3000)))
def test_any_split_of_the_stream_gives_the_same_bytes(
    kind: PayloadKind, chunks: list[bytes], cuts: list[int]
) -> None:
    body = b"".join(chunks)
    wire = encode(kind, chunks, trailers_of(kind))
    decoding = decoder(kind, len(body), *[name for name, _ in trailers_of(kind)])
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    pieces = []
    for start, end in pairwise(edges):
        pieces += decoding.feed(wire[start:end])
    decoding.finish()
    assert b"".join(pieces) == body
    assert decoding.trailers == {name.encode(): value.encode() for name, value in trailers_of(kind)}


@given(st.sampled_from(KINDS), CHUNKS)
def test_one_byte_at_a_time_gives_the_same_bytes(kind: PayloadKind, chunks: list[bytes]) -> None:
    body = b"".join(chunks)
    wire = encode(kind, chunks, trailers_of(kind))
    decoding = decoder(kind, len(body), *[name for name, _ in trailers_of(kind)])
    pieces = []
    for position in range(len(wire)):
        assert not decoding.complete
        pieces += decoding.feed(wire[position : position + 1])
    assert decoding.complete
    assert b"".join(pieces) == body


@given(
    st.sampled_from(KINDS),
    CHUNKS,
    st.lists(
        st.tuples(
            st.sampled_from(["flip", "cut", "insert"]), st.integers(0), st.binary(max_size=8)
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_a_mutated_stream_is_refused_or_decodes_to_the_announced_length(
    kind: PayloadKind, chunks: list[bytes], mutations: list[tuple[str, int, bytes]]
) -> None:
    body = b"".join(chunks)
    original = encode(kind, chunks, trailers_of(kind))
    wire = bytearray(original)
    for action, place, junk in mutations:
        position = place % max(1, len(wire))
        if action == "flip" and wire:
            wire[position] ^= 1 << (place % 8)
        elif action == "cut":
            del wire[position : position + 1 + len(junk)]
        else:
            wire[position:position] = junk
    try:
        decoded = decode(kind, bytes(wire), len(body))
    except S3Error:
        return
    assert len(decoded) == len(body)
    if kind is not PayloadKind.CHUNKS_UNSIGNED_TRAILER:
        assert decoded == body


@given(st.sampled_from(KINDS), st.binary(max_size=400), st.integers(0, 100))
def test_garbage_is_refused_and_never_a_crash(
    kind: PayloadKind, garbage: bytes, length: int
) -> None:
    with pytest.raises(S3Error):
        decode(kind, b"x" + garbage, length)


@given(st.sampled_from(KINDS), CHUNKS, st.integers(0))
def test_a_truncated_body_is_incomplete(kind: PayloadKind, chunks: list[bytes], cut: int) -> None:
    body = b"".join(chunks)
    wire = encode(kind, chunks, trailers_of(kind))
    assert refused(kind, wire[: cut % len(wire)], len(body)) == "IncompleteBody"


def test_botocores_encoder_is_read() -> None:
    data = bytes(range(256)) * 900
    for size in (100, 1 << 20):
        wire = AwsChunkedWrapper(
            io.BytesIO(data), Crc32Checksum, "x-amz-checksum-crc32", chunk_size=size
        ).read()
        decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, len(data), TRAILER[0])
        assert b"".join(decoding.feed(wire)) == data
        decoding.finish()
    bare = AwsChunkedWrapper(io.BytesIO(data)).read()
    decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, len(data))
    assert b"".join(decoding.feed(bare)) == data
    assert decoding.complete


@pytest.mark.parametrize("kind", WITH_TRAILER)
def test_trailer_lines_may_end_in_lf_and_an_empty_line(kind: PayloadKind) -> None:
    for line_end in ("\n", "\n\r\n" if kind is PayloadKind.CHUNKS_SIGNED_TRAILER else "\n"):
        wire = encode(kind, [b"hello"], [TRAILER], line_end=line_end)
        assert decode(kind, wire, 5) == b"hello"
    assert decode(kind, encode(kind, [b"hello"], [TRAILER]) + b"\r\n", 5) == b"hello"


@pytest.mark.parametrize("kind", KINDS)
def test_the_announced_length_is_enforced_both_ways(kind: PayloadKind) -> None:
    wire = encode(kind, [b"hello", b"world"], trailers_of(kind))
    for length in (0, 9, 11, 1 << 50):
        assert refused(kind, wire, length) == "IncompleteBody"


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_chunk_of_another_body_breaks_the_chain(kind: PayloadKind) -> None:
    one, two = b"a" * 10, b"b" * 10
    wire = encode(kind, [one, two], trailers_of(kind))
    assert refused(kind, wire.replace(one, two), 20) == "SignatureDoesNotMatch"
    first, second = wire.index(b"a;chunk"), wire.index(b"a;chunk", 50)
    end = wire.index(b"0;chunk")
    swapped = wire[second:end] + wire[first:second] + wire[end:]
    assert refused(kind, swapped, 20) == "SignatureDoesNotMatch"
    dropped = wire[:second] + wire[end:]
    assert refused(kind, dropped, 10) == "SignatureDoesNotMatch"


def test_a_changed_trailer_does_not_match_its_signature() -> None:
    kind = PayloadKind.CHUNKS_SIGNED_TRAILER
    wire = encode(kind, [b"hello"], [TRAILER])
    assert refused(kind, wire.replace(b"AAAAAA==", b"AAAAAQ=="), 5) == "SignatureDoesNotMatch"
    start = wire.index(b"x-amz-trailer-signature")
    assert refused(kind, wire[:start] + b"\r\n\r\n", 5) == "IncompleteBody"
    with_other = wire[:start] + b"x-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n"
    assert refused(kind, with_other, 5) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "trailer",
    [
        b"",
        b"x-amz-checksum-sha1:AAAA\r\n",
        b"x-amz-checksum-crc32\r\n",
        b":AAAAAA==\r\n",
        b"x-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n",
        b"x-amz-checksum-crc32:AAAAAA==\r\nx-amz-meta-a:1\r\n",
        b"x-amz-checksum-crc32:" + b"A" * (LINE_BYTES_MAX + 10) + b"\r\n",
        b"x-amz-trailer-signature:00\r\n",
    ],
)
def test_trailers_other_than_the_announced_are_malformed(trailer: bytes) -> None:
    kind = PayloadKind.CHUNKS_UNSIGNED_TRAILER
    wire = b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"
    assert refused(kind, wire, 5) == "MalformedTrailerError"


def test_a_trailer_nobody_announced_is_malformed() -> None:
    with pytest.raises(S3Error, match="MalformedTrailerError"):
        decode(
            PayloadKind.CHUNKS_UNSIGNED_TRAILER,
            b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
            0,
            trailers=False,
        )
    plain = encode(PayloadKind.CHUNKS_SIGNED, [b"hello"])
    wire = plain[:-2] + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert refused(PayloadKind.CHUNKS_SIGNED, wire, 5) == "MalformedTrailerError"


@pytest.mark.parametrize(
    "wire",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"0_5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5;chunk-signature=00\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"0\r\n\r\n",
    ],
)
def test_framing_that_is_not_aws_chunked_is_an_incomplete_body(wire: bytes) -> None:
    decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, 5)
    with pytest.raises(S3Error, match="IncompleteBody"):
        decoding.feed(wire)


def test_bytes_after_the_end_are_refused() -> None:
    decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, 0)
    decoding.feed(b"0\r\n\r\n")
    for _ in range(2):
        decoding.feed(b"\r\n")
    with pytest.raises(S3Error, match="goes on after its last chunk"):
        decoding.feed(b"\r\n")
    with pytest.raises(S3Error, match="goes on after its last chunk"):
        decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, 0).feed(b"0\r\n\r\nGET / HTTP/1.1")


@pytest.mark.parametrize(
    ("opening", "filler"),
    [(b"", b"0"), (b"5\r\nhello", b"\r"), (b"5\r\nhello\r\n0\r\n", b"x")],
)
def test_an_endless_line_is_cut_off_at_its_bound(opening: bytes, filler: bytes) -> None:
    decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, 5)
    decoding.feed(opening)
    for _ in range(LINE_BYTES_MAX):
        decoding.feed(filler)
    with pytest.raises(S3Error):
        decoding.feed(filler)
    decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, 5)
    decoding.feed(opening)
    with pytest.raises(S3Error):
        decoding.feed(filler * (LINE_BYTES_MAX + 1))


def test_an_endless_trailer_is_cut_off_at_its_bound() -> None:
    kind = PayloadKind.CHUNKS_SIGNED_TRAILER
    wire = encode(kind, [b"hello"], [TRAILER])
    decoding = decoder(kind, 5, TRAILER[0])
    decoding.feed(wire[: wire.index(b"x-amz-trailer-signature")])
    for _ in range(TRAILER_BYTES_MAX // 2 - 20):
        decoding.feed(b"\r\n")
    with pytest.raises(S3Error, match="MalformedTrailerError"):
        decoding.feed(b"\r\n" * 40)


def test_a_chunk_of_any_size_passes_through_uncopied() -> None:
    length = 256 << 20
    run = bytes(64 << 10)
    decoding = decoder(PayloadKind.CHUNKS_UNSIGNED_TRAILER, length)
    decoding.feed(b"%x\r\n" % length)
    tracemalloc.start()
    try:
        for _ in range(length // len(run)):
            (piece,) = decoding.feed(run)
            assert piece.obj is run
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 10
    decoding.feed(b"\r\n0\r\n\r\n")
    assert decoding.complete
