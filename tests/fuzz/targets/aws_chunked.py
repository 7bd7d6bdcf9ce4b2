"""The aws-chunked decoder: split invariance, round trips, and only S3's errors."""

from __future__ import annotations

import hashlib

from tests.fuzz.target import Choices, pieces_of, target

from trilith.iam.credentials import root_credential
from trilith.iam.signing_keys import SigningKeys
from trilith.s3.authentication import ChunkSigner, PayloadKind
from trilith.s3.aws_chunked import LINE_BYTES_MAX, TRAILER_BYTES_MAX, ChunkedDecoder
from trilith.s3.errors import S3Error

KINDS = (
    PayloadKind.CHUNKS_UNSIGNED_TRAILER,
    PayloadKind.CHUNKS_SIGNED,
    PayloadKind.CHUNKS_SIGNED_TRAILER,
)
TIMESTAMP, SEED = b"20260101T000000Z", "0" * 64
KEY = SigningKeys().get(root_credential("AKIA", "secret"), "20260101", "us-east-1", "s3")
TRAILER = b"x-amz-checksum-crc32"
Result = tuple[bytes, str]


def decoder(kind: PayloadKind, length: int, trailers: tuple[bytes, ...]) -> ChunkedDecoder:
    signer = ChunkSigner(KEY, TIMESTAMP, SEED)
    return ChunkedDecoder(kind, length, signer=signer, trailer_names=trailers)


def decode(chunked: ChunkedDecoder, pieces: list[bytes]) -> Result:
    """What was decoded, and how it ended: "" or the code of an error."""
    data = b""
    try:
        for piece in pieces:
            data += b"".join(chunked.feed(piece))
            assert len(chunked._line) <= LINE_BYTES_MAX
            assert len(chunked._trailer_lines) <= TRAILER_BYTES_MAX + LINE_BYTES_MAX
        chunked.finish()
    except S3Error as error:
        return data, error.code
    return data, ""


def encode(kind: PayloadKind, chunks: list[bytes], trailers: dict[bytes, bytes]) -> bytes:
    """As a client would, from the format's definition."""
    signer = ChunkSigner(KEY, TIMESTAMP, SEED)
    signed = kind is not PayloadKind.CHUNKS_UNSIGNED_TRAILER
    wire = b""
    for chunk in [*chunks, b""]:
        wire += b"%x" % len(chunk)
        if signed:
            wire += b";chunk-signature=" + signer.chunk(hashlib.sha256(chunk).hexdigest()).encode()
        wire += b"\r\n" + chunk + (b"\r\n" if chunk else b"")
    lines = b"".join(name + b":" + value + b"\n" for name, value in trailers.items())
    wire += lines.replace(b"\n", b"\r\n")
    if trailers and signed:
        digest = hashlib.sha256(lines).hexdigest()
        wire += b"x-amz-trailer-signature:" + signer.trailer(digest).encode() + b"\r\n"
    return wire + b"\r\n"


@target(
    words=(
        b"\r\n",
        b";chunk-signature=",
        TRAILER + b":",
        b"x-amz-trailer-signature:",
        b"0\r\n\r\n",
        b"ffffffffffffffff",
    )
)
def aws_chunked_stream(data: bytes) -> None:
    """Any bytes, in any pieces, are the same body or the same refusal."""
    choices = Choices(data)
    kind = choices.pick(KINDS)
    length = choices.integer(0, 255)
    trailers = (TRAILER,) if choices.flag() else ()
    wire = choices.rest()
    whole_data, whole_end = decode(decoder(kind, length, trailers), [wire] if wire else [])
    bytewise = [wire[i : i + 1] for i in range(len(wire))]
    for pieces in (list(pieces_of(wire)), bytewise):
        split_data, split_end = decode(decoder(kind, length, trailers), pieces)
        assert split_end == whole_end, (split_end, whole_end)
        # What was decoded before an error is thrown away; how much that was may differ.
        assert whole_end or split_data == whole_data
        assert split_data.startswith(whole_data)
    if not whole_end:
        assert len(whole_data) == length


@target()
def aws_chunked_signed_body(data: bytes) -> None:
    """What a client encodes is decoded; one changed byte of it is never another accepted body."""
    choices = Choices(data)
    kind = choices.pick(KINDS)
    with_trailer = kind is not PayloadKind.CHUNKS_SIGNED and choices.flag()
    trailers = {TRAILER: b"AAAAAA=="} if with_trailer else {}
    place, mask = choices.integer(0, 65535), choices.integer(0, 255)
    chunks = []
    while choices and len(chunks) < 16:
        chunk = choices.blob(300)
        if chunk:
            chunks.append(chunk)
    body = b"".join(chunks)
    wire = encode(kind, chunks, trailers)
    names = tuple(trailers)
    assert decode(decoder(kind, len(body), names), list(pieces_of(wire))) == (body, "")
    if not mask or kind is PayloadKind.CHUNKS_UNSIGNED_TRAILER:
        return
    place %= len(wire)
    damaged = wire[:place] + bytes((wire[place] ^ mask,)) + wire[place + 1 :]
    decoded, end = decode(decoder(kind, len(body), names), [damaged])
    # Letter case of a size or a name, or spare white space, may change without changing the body.
    assert end or decoded == body
