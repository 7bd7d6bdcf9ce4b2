"""aws-chunked bodies, signed and unsigned, with and without trailers; Expect: 100-continue."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from . import sigv4
from .trees import MIB, random_bytes
from .wire import Answer, Caller, ConnectionCutError

CHUNK_BYTES = 64 * 1024
SIZES = [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7, 2 * MIB + 1]


def crc32_of(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Replaces the first `old`."""
    return lambda body: body.replace(old, new, 1)


def put_chunked(
    caller: Caller,
    bucket: str,
    data: bytes,
    kind: str,
    *,
    trailers: dict[str, str] | None = None,
    spoil: Callable[[bytes], bytes] | None = None,
    decoded_length: int | None = None,
) -> Answer:
    """PUT of `data` as an aws-chunked body. `spoil` changes the finished framing in place."""
    length = len(data) if decoded_length is None else decoded_length
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(length)}
    if trailers:
        headers["x-amz-trailer"] = ",".join(trailers)
    probe = sigv4.Signature(caller.credentials)
    is_signed = kind != sigv4.UNSIGNED_CHUNKS_TRAILER
    frame_size = len(
        sigv4.chunked_body(
            data, CHUNK_BYTES, signature=probe if is_signed else None, trailers=trailers
        )
    )
    headers["content-length"] = str(frame_size)
    target, signed, signature = caller.sign(
        "PUT", f"/{bucket}/o", headers=headers, payload_hash=kind
    )
    body = sigv4.chunked_body(
        data, CHUNK_BYTES, signature=signature if is_signed else None, trailers=trailers
    )
    if spoil:
        spoilt = spoil(body)
        assert spoilt != body
        assert len(spoilt) == len(body)
        body = spoilt
    return caller.send("PUT", target, signed, body)


@pytest.mark.parametrize("size", SIZES)
def test_signed_chunks_are_stored_without_their_framing(
    caller: Caller, s3: Any, bucket: str, size: int
) -> None:
    data = random_bytes(size, seed=size)
    answer = put_chunked(caller, bucket, data, sigv4.SIGNED_CHUNKS)
    assert answer.status == 200, answer.body
    got = s3.get_object(Bucket=bucket, Key="o")
    assert got["Body"].read() == data
    assert got["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert "aws-chunked" not in got.get("ContentEncoding", "")


@pytest.mark.parametrize("kind", [sigv4.SIGNED_CHUNKS_TRAILER, sigv4.UNSIGNED_CHUNKS_TRAILER])
@pytest.mark.parametrize("size", SIZES)
def test_a_trailing_checksum_is_verified_and_stored(
    caller: Caller, s3: Any, bucket: str, size: int, kind: str
) -> None:
    data = random_bytes(size, seed=size)
    trailers = {"x-amz-checksum-crc32": crc32_of(data)}
    answer = put_chunked(caller, bucket, data, kind, trailers=trailers)
    assert answer.status == 200, answer.body
    assert answer.headers["x-amz-checksum-crc32"] == crc32_of(data)
    got = s3.get_object(Bucket=bucket, Key="o", ChecksumMode="ENABLED")
    assert got["Body"].read() == data
    assert got["ChecksumCRC32"] == crc32_of(data)


@pytest.mark.parametrize("kind", [sigv4.SIGNED_CHUNKS_TRAILER, sigv4.UNSIGNED_CHUNKS_TRAILER])
def test_a_wrong_trailing_checksum_is_refused(caller: Caller, bucket: str, kind: str) -> None:
    trailers = {"x-amz-checksum-crc32": crc32_of(b"something else")}
    for size in (10, 2 * MIB):
        answer = put_chunked(caller, bucket, random_bytes(size), kind, trailers=trailers)
        assert (answer.status, answer.error_code) == (400, "BadDigest")
    assert caller.call("GET", f"/{bucket}/o").status == 404


def test_a_changed_byte_in_a_signed_chunk_is_refused(caller: Caller, bucket: str) -> None:
    data = b"A" * CHUNK_BYTES * 2
    answer = put_chunked(caller, bucket, data, sigv4.SIGNED_CHUNKS, spoil=swap(b"AAAA", b"AABA"))
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")
    assert caller.call("GET", f"/{bucket}/o").status == 404


def test_a_changed_trailer_signature_is_refused(caller: Caller, bucket: str) -> None:
    data = b"A" * 1000
    mark = b"x-amz-trailer-signature:"
    answer = put_chunked(
        caller,
        bucket,
        data,
        sigv4.SIGNED_CHUNKS_TRAILER,
        trailers={"x-amz-checksum-crc32": crc32_of(data)},
        spoil=lambda body: body.replace(signature := body.partition(mark)[2][:64], signature[::-1]),
    )
    assert (answer.status, answer.error_code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("spoil", "decoded_length"),
    [
        (swap(b"10000\r\n", b"1zz00\r\n"), None),  # a length that is no number
        (swap(b"10000\r\n", b"0ffff\r\n"), None),  # a chunk longer than its length says
        (swap(b"10000\r\n", b"1ffff\r\n"), None),  # a chunk that swallows what follows
        (None, 2 * CHUNK_BYTES + 1),
        (None, 2 * CHUNK_BYTES - 1),
    ],
)
def test_bad_framing_is_a_clear_error(
    caller: Caller, bucket: str, spoil: Callable[[bytes], bytes] | None, decoded_length: int | None
) -> None:
    data = b"A" * CHUNK_BYTES * 2
    answer = put_chunked(
        caller,
        bucket,
        data,
        sigv4.UNSIGNED_CHUNKS_TRAILER,
        trailers={"x-amz-checksum-crc32": crc32_of(data)},
        spoil=spoil,
        decoded_length=decoded_length,
    )
    assert answer.status == 400
    assert answer.error_code in {"IncompleteBody", "InvalidRequest", "MalformedTrailerError"}
    assert caller.call("GET", f"/{bucket}/o").status == 404


def test_a_client_that_expects_100_continue_gets_it_before_the_body(
    caller: Caller, s3: Any, bucket: str
) -> None:
    body = random_bytes(300_000)
    target, headers, _ = caller.sign(
        "PUT",
        f"/{bucket}/o",
        headers={"content-length": str(len(body)), "expect": "100-continue"},
    )
    with caller.connect() as wire:
        wire.send_head("PUT", target, headers)
        assert wire.read_interim().status == 100
        wire.send(body)
        assert wire.read_answer("PUT").status == 200
    assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == body


@pytest.mark.parametrize("bad", ["signature", "bucket"])
def test_a_refused_upload_is_answered_without_asking_for_its_body(
    caller: Caller, bucket: str, bad: str
) -> None:
    path = f"/{bucket}/o" if bad == "signature" else "/conformance-absent/o"
    target, headers, _ = caller.sign(
        "PUT", path, headers={"content-length": "300000", "expect": "100-continue"}
    )
    if bad == "signature":
        headers["authorization"] = headers["authorization"][:-4] + "0000"
    with caller.connect() as wire:
        wire.send_head("PUT", target, headers)
        first = wire.read_interim()
        assert first.status == (403 if bad == "signature" else 404)


def test_a_body_in_plain_chunked_transfer_coding_is_stored(
    caller: Caller, s3: Any, bucket: str
) -> None:
    """HTTP/1.1 chunks without an announced length; AWS refuses these with 411."""
    data = random_bytes(200_000)
    target, headers, _ = caller.sign("PUT", f"/{bucket}/o")
    headers["transfer-encoding"] = "chunked"
    frames = b"".join(
        f"{len(data[i : i + 9999]):x}\r\n".encode() + data[i : i + 9999] + b"\r\n"
        for i in range(0, len(data), 9999)
    )
    with caller.connect() as wire:
        wire.send_head("PUT", target, headers)
        try:
            wire.send(frames + b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionCutError("refused without an answer") from error
        answer = wire.read_answer("PUT")
    if answer.status == 200:
        assert s3.get_object(Bucket=bucket, Key="o")["Body"].read() == data
    else:
        assert (answer.status, answer.error_code) == (411, "MissingContentLength")
