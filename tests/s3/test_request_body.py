"""A request body, received through ASGI messages, is delivered whole and verified or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from base64 import b64encode
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilith.iam.credentials import root_credential
from trilith.objects.types import Checksum
from trilith.s3.authentication import Authentication, PayloadKind
from trilith.s3.checksums import ALGORITHMS, checksum_of
from trilith.s3.errors import ClientDisconnectedError, S3Error
from trilith.s3.request_body import RequestBody, stored_content_encoding
from trilith.s3.request_head import RequestHead

from .chunk_encoding import encode, signer

IDENTITY = root_credential("AKIA", "secret").identity
KINDS = list(PayloadKind)
DISCONNECT = {"type": "http.disconnect"}


def crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


class Wire:
    """Delivers a body in the given runs as ASGI messages; counts what was asked for."""

    def __init__(self, runs: Iterable[bytes], *, disconnects: bool = False) -> None:
        self._messages = [{"type": "http.request", "body": run, "more_body": True} for run in runs]
        if disconnects:
            self._messages.append(DISCONNECT)
        elif self._messages:
            del self._messages[-1]["more_body"]
        else:
            self._messages.append({"type": "http.request"})
        self.received = 0

    async def __call__(self) -> dict[str, object]:
        self.received += 1
        return self._messages[self.received - 1]


def open_body(
    wire: Wire,
    kind: PayloadKind = PayloadKind.UNSIGNED,
    *,
    sha256: str = "",
    default: str | None = None,
    **headers: str,
) -> RequestBody:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    content = sha256 if kind is PayloadKind.SIGNED else kind.value
    authentication = Authentication(IDENTITY, kind, content, signer())
    return RequestBody(
        RequestHead("PUT", b"/b/k", b"", pairs),
        authentication,
        wire,
        default_checksum=None if default is None else ALGORITHMS[default],
    )


async def read_all(body: RequestBody) -> bytes:
    runs = []
    while run := await body.read():
        runs.append(bytes(run))
    assert await body.read() == b""
    return b"".join(runs)


def received(body: RequestBody) -> bytes:
    return asyncio.run(read_all(body))


def refusal(body: RequestBody) -> S3Error:
    with pytest.raises(S3Error) as caught:
        received(body)
    return caught.value


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(
    st.sampled_from(KINDS), st.lists(st.binary(max_size=200), max_size=12), st.lists(st.integers(0))
)
def test_every_payload_kind_delivers_the_same_bytes_however_they_arrive(
    kind: PayloadKind, chunks: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(chunks)
    headers = {"x_amz_sdk_checksum_algorithm": "CRC32"}
    wire_bytes = data
    if kind.is_chunked:
        trailers = []
        if kind is PayloadKind.CHUNKS_SIGNED:
            headers["x_amz_checksum_crc32"] = crc32(data)
        else:
            trailers = [("x-amz-checksum-crc32", crc32(data))]
            headers["x_amz_trailer"] = "x-amz-checksum-crc32"
        wire_bytes = encode(kind, chunks, trailers)
        headers["x_amz_decoded_content_length"] = str(len(data))
    else:
        headers["x_amz_checksum_crc32"] = crc32(data)
    headers["content_length"] = str(len(wire_bytes))
    digest = hashlib.sha256(data).hexdigest()
    for small in (False, True):
        body = open_body(Wire(cut(wire_bytes, cuts)), kind, sha256=digest, **headers)
        assert body.size == len(data)
        if small:
            assert asyncio.run(body.read_small(len(data))) == data
        else:
            assert received(body) == data
        assert body.checksum() == Checksum("CRC32", crc32(data))


@given(st.binary(max_size=300), st.integers(0, 300), st.lists(st.integers(0)))
def test_a_body_too_large_to_read_at_once_is_still_read_from_its_start(
    data: bytes, limit: int, cuts: list[int]
) -> None:
    async def scenario(body: RequestBody) -> None:
        whole = await body.read_small(limit)
        assert (whole is None) == (len(data) > limit)
        assert (whole if whole is not None else await read_all(body)) == data
        assert await body.read() == b""

    asyncio.run(scenario(open_body(Wire(cut(data, cuts)))))
    asyncio.run(scenario(open_body(Wire(cut(data, cuts)), content_length=str(len(data)))))


def test_a_body_announced_too_large_is_not_waited_for() -> None:
    wire = Wire([b"x" * 100])
    assert asyncio.run(open_body(wire, content_length="100").read_small(99)) is None
    assert wire.received == 0


def test_one_message_is_received_a_time() -> None:
    async def scenario() -> None:
        wire = Wire([b"a" * 10, b"b" * 10, b"c" * 10])
        body = open_body(wire)
        for expected in range(1, 4):
            assert len(await body.read()) == 10
            assert wire.received == expected

    asyncio.run(scenario())


def test_a_run_is_delivered_uncopied() -> None:
    run = b"x" * 1000
    assert asyncio.run(open_body(Wire([run])).read()) is run
    wire = encode(PayloadKind.CHUNKS_UNSIGNED_TRAILER, [run])
    body = open_body(
        Wire([wire]), PayloadKind.CHUNKS_UNSIGNED_TRAILER, x_amz_decoded_content_length="1000"
    )
    piece = asyncio.run(body.read())
    assert isinstance(piece, memoryview)
    assert piece.obj is wire


def test_a_connection_cut_before_the_end_is_a_disconnect() -> None:
    for runs in ([], [b"hel"], [b"hello"]):
        error = refusal(open_body(Wire(runs, disconnects=True), content_length="10"))
        assert isinstance(error, ClientDisconnectedError)
        assert error.code == "IncompleteBody"


def test_a_body_of_another_length_than_announced_is_incomplete() -> None:
    for length in ("4", "6"):
        error = refusal(open_body(Wire([b"hello"]), content_length=length))
        assert (error.code, error.status) == ("IncompleteBody", 400)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.is_chunked])
def test_framing_cut_short_is_incomplete_though_no_length_was_announced(kind: PayloadKind) -> None:
    whole = encode(kind, [b"hello"])
    for end in range(len(whole)):
        body = open_body(Wire([whole[:end]]), kind, x_amz_decoded_content_length="5")
        assert refusal(body).code == "IncompleteBody"


def test_an_error_comes_again_at_every_read() -> None:
    async def scenario() -> None:
        body = open_body(Wire([b"hello"]), content_length="6")
        for _ in range(3):
            with pytest.raises(S3Error, match="IncompleteBody"):
                await body.read()
        with pytest.raises(S3Error, match="IncompleteBody"):
            await body.read_small(100)

    asyncio.run(scenario())


def test_a_body_of_another_hash_than_signed_is_refused() -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    error = refusal(open_body(Wire([b"hel", b"lo"]), PayloadKind.SIGNED, sha256=wrong))
    assert (error.code, error.status) == ("XAmzContentSHA256Mismatch", 400)
    assert error.elements == {
        "ClientComputedContentSHA256": wrong,
        "S3ComputedContentSHA256": hashlib.sha256(b"hello").hexdigest(),
    }


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_wrong_checksum_is_a_bad_digest_in_header_and_trailer(name: str) -> None:
    header = f"x-amz-checksum-{name.lower()}"
    wrong = checksum_of(ALGORITHMS[name], b"other").value
    plain = open_body(Wire([b"hello"]), **{header: wrong})
    chunked = open_body(
        Wire([encode(PayloadKind.CHUNKS_UNSIGNED_TRAILER, [b"hello"], [(header, wrong)])]),
        PayloadKind.CHUNKS_UNSIGNED_TRAILER,
        x_amz_decoded_content_length="5",
        x_amz_trailer=header,
    )
    for body in (plain, chunked):
        error = refusal(body)
        assert (error.code, error.status) == ("BadDigest", 400)
        assert error.message == f"The {name} you specified did not match the calculated checksum."
        assert body.checksum() is None


def test_a_malformed_value_in_the_trailer_is_refused_by_name() -> None:
    trailer = ("x-amz-checksum-crc32", "no")
    body = open_body(
        Wire([encode(PayloadKind.CHUNKS_SIGNED_TRAILER, [b"hello"], [trailer])]),
        PayloadKind.CHUNKS_SIGNED_TRAILER,
        x_amz_decoded_content_length="5",
        x_amz_trailer="x-amz-checksum-crc32",
    )
    assert refusal(body).message == "Value for x-amz-checksum-crc32 header is invalid."


def test_a_signed_sha256_checksum_is_hashed_once_and_verified() -> None:
    digest = hashlib.sha256(b"hello")
    value = b64encode(digest.digest()).decode()
    body = open_body(
        Wire([b"hello"]),
        PayloadKind.SIGNED,
        sha256=digest.hexdigest(),
        x_amz_checksum_sha256=value,
    )
    assert received(body) == b"hello"
    assert body.checksum() == Checksum("SHA256", value)


def test_a_default_checksum_is_computed_only_when_none_is_announced() -> None:
    body = open_body(Wire([b"hel", b"lo"]), default="CRC64NVME")
    received(body)
    assert body.checksum() == checksum_of(ALGORITHMS["CRC64NVME"], b"hello")
    body = open_body(Wire([b"hello"]), default="CRC64NVME", x_amz_checksum_crc32=crc32(b"hello"))
    received(body)
    assert body.checksum() == Checksum("CRC32", crc32(b"hello"))
    body = open_body(Wire([b"hello"]))
    received(body)
    assert body.checksum() is None


def test_content_md5_is_handed_on_as_the_expected_digest() -> None:
    digest = hashlib.md5(b"hello").digest()
    body = open_body(Wire([b"hello"]), content_md5=b64encode(digest).decode())
    assert body.expected_md5 == digest
    with pytest.raises(S3Error, match="InvalidDigest"):
        open_body(Wire([b""]), content_md5="nonsense")


def test_an_unannounced_length_is_none() -> None:
    assert open_body(Wire([b"hello"])).size is None
    for bad in ("-1", "five", "1" * 19, "+5", ""):
        with pytest.raises(S3Error, match="InvalidArgument"):
            open_body(Wire([]), content_length=bad)


def test_chunked_framing_needs_its_decoded_length() -> None:
    with pytest.raises(S3Error) as caught:
        open_body(Wire([]), PayloadKind.CHUNKS_UNSIGNED_TRAILER, content_length="100")
    assert (caught.value.code, caught.value.status) == ("MissingContentLength", 411)


def test_framing_never_ends_up_inside_an_object() -> None:
    framed = b"5\r\nhello\r\n0\r\n\r\n"
    with pytest.raises(S3Error, match="aws-chunked encoding is not supported"):
        open_body(Wire([framed]), content_encoding="gzip, aws-chunked")
    signed = {"sha256": hashlib.sha256(framed).hexdigest(), "content_encoding": "aws-chunked"}
    with pytest.raises(S3Error, match="aws-chunked encoding is not supported"):
        open_body(Wire([framed]), PayloadKind.SIGNED, **signed, x_amz_decoded_content_length="5")


def test_the_word_of_framing_alone_is_no_framing() -> None:
    signed = {"sha256": hashlib.sha256(b"hello").hexdigest(), "content_encoding": "aws-chunked"}
    assert received(open_body(Wire([b"hello"]), PayloadKind.SIGNED, **signed)) == b"hello"


@pytest.mark.parametrize(
    "kind", [PayloadKind.UNSIGNED, PayloadKind.SIGNED, PayloadKind.CHUNKS_SIGNED]
)
def test_a_trailer_needs_a_payload_that_has_one(kind: PayloadKind) -> None:
    with pytest.raises(S3Error, match="x-amz-trailer cannot be used"):
        open_body(
            Wire([]), kind, x_amz_trailer="x-amz-checksum-crc32", x_amz_decoded_content_length="0"
        )


def test_a_tampered_chunk_is_refused_before_the_body_ends() -> None:
    wire = encode(PayloadKind.CHUNKS_SIGNED, [b"hello", b"world"]).replace(b"hello", b"jello")
    body = open_body(Wire([wire]), PayloadKind.CHUNKS_SIGNED, x_amz_decoded_content_length="10")
    assert refusal(body).code == "SignatureDoesNotMatch"


@given(st.sampled_from(KINDS), st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_garbage_is_refused_and_never_a_crash(
    kind: PayloadKind, runs: list[bytes], disconnects: bool
) -> None:
    body = open_body(
        Wire(runs, disconnects=disconnects),
        kind,
        sha256="0" * 64,
        content_length="1000",
        x_amz_decoded_content_length="900",
    )
    assert refusal(body).status < 500


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (None, None),
        ("gzip", "gzip"),
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, AWS-Chunked", "gzip"),
        ("aws-chunked, gzip, br", "gzip,br"),
        ("gzip, br", "gzip, br"),
    ],
)
def test_the_stored_content_encoding_leaves_the_transports_out(
    sent: str | None, stored: str | None
) -> None:
    assert stored_content_encoding(sent) == stored
