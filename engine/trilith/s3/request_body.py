"""A request's body as it arrives from ASGI: decoded, verified, never held.

Implements `objects.types.Body`. A body that was read to b"" is whole and is what was announced and
signed; any other end raises S3Error from `read`: IncompleteBody, XAmzContentSHA256Mismatch,
BadDigest, SignatureDoesNotMatch, MalformedTrailerError. These are not domain errors: the object
service cleans up and lets them pass unchanged to the protocol layer, which answers them as they
are. Content-MD5 is verified by the object service, which computes the MD5 anyway (`expected_md5`).

Memory: what one `receive()` delivers; `read_small` up to its limit more.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from trilith.objects.digests import Digest
from trilith.objects.types import Checksum
from trilith.s3 import checksums
from trilith.s3.authentication import Authentication, PayloadKind
from trilith.s3.aws_chunked import ChunkedDecoder
from trilith.s3.checksums import Algorithm, Announced
from trilith.s3.errors import ClientDisconnectedError, S3Error, invalid_argument
from trilith.s3.request_head import RequestHead

Buffer = bytes | bytearray | memoryview
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# More pieces than this in one message (tiny aws-chunks) are joined: each costs its reader an await.
_PIECES_MAX = 4


class RequestBody:
    """One request's body. `read` and `read_small` are called by one task at a time."""

    def __init__(
        self,
        head: RequestHead,
        authentication: Authentication,
        receive: Receive,
        *,
        default_checksum: Algorithm | None = None,
        whole_checksum: Algorithm | None = None,
    ) -> None:
        """Checks the headers that announce the body; raises S3Error. Does not receive yet.

        `default_checksum` is computed for `checksum()` when the request announces none;
        `whole_checksum` whatever it announces, for `whole_checksum()`.
        """
        self._receive = receive
        self._wire_left = _length(head, b"content-length")
        self._decoder: ChunkedDecoder | None = None
        self.expected_md5 = checksums.parse_content_md5(head)
        announced = checksums.announced_checksum(head)
        payload = authentication.payload
        if payload.is_chunked:
            self._size = _length(head, b"x-amz-decoded-content-length")
            if self._size is None:
                raise S3Error("MissingContentLength")
            self._decoder = ChunkedDecoder(
                payload,
                self._size,
                signer=authentication.chunk_signer,
                trailer_names=checksums.trailer_names(head),
            )
        else:
            self._size = self._wire_left
            _refuse_foreign_framing(head, payload)
        if announced is not None and announced.digest is None and not _has_trailer(payload):
            raise S3Error(
                "InvalidRequest",
                f"x-amz-trailer cannot be used with {authentication.content_sha256}",
            )
        self._sha256 = hashlib.sha256() if payload is PayloadKind.SIGNED else None
        self._content_sha256 = authentication.content_sha256
        self._announced: Announced | None = announced
        algorithm = announced.algorithm if announced is not None else default_checksum
        self._algorithm = algorithm
        self._hasher: Digest | None = None
        if algorithm is not None:
            shared = self._sha256 is not None and algorithm.name == "SHA256"
            self._hasher = None if shared else algorithm.new()
        self._whole_algorithm = whole_checksum
        is_other = whole_checksum is not None and whole_checksum is not algorithm
        self._whole_hasher = whole_checksum.new() if whole_checksum and is_other else None
        self._pending: deque[Buffer] = deque()
        self._received = False  # the last message has arrived and everything is verified
        self._failure: S3Error | None = None
        self._checksum: Checksum | None = None

    @property
    def size(self) -> int | None:
        """Decoded length in bytes; None when neither length header announces it."""
        return self._size

    async def read(self) -> Buffer:
        """The next run of bytes, b"" at the verified end. Raises S3Error, then the same again."""
        while not self._pending:
            if self._received:
                return b""
            await self._receive_next()
        return self._pending.popleft()

    async def read_small(self, limit: int) -> Buffer | None:
        """The whole verified body when it has at most `limit` bytes, else None.

        After None the body is intact: `read` delivers it from the start. Waits for the whole small
        body; a body whose announced size is over the limit is not waited for.
        """
        if self._size is not None and self._size > limit:
            return None
        while not self._received:
            await self._receive_next()
            if sum(map(len, self._pending)) > limit:
                return None
        if sum(map(len, self._pending)) > limit:
            return None
        if len(self._pending) == 1:
            return self._pending.popleft()
        whole = b"".join(self._pending)
        self._pending.clear()
        return whole

    def checksum(self) -> Checksum | None:
        """After the end: the checksum announced (and verified), or the default one computed."""
        return self._checksum

    def whole_checksum(self) -> Checksum | None:
        """After the end: of the algorithm that was asked for, whatever else was announced."""
        if self._whole_algorithm is None or self._whole_hasher is None:
            return self._checksum if self._whole_algorithm is not None else None
        digest = checksums.encode_digest(self._whole_hasher.digest())
        return Checksum(self._whole_algorithm.name, digest)

    async def _receive_next(self) -> None:
        if self._failure is not None:
            raise self._failure
        message = await self._receive()
        try:
            if message["type"] != "http.request":
                raise ClientDisconnectedError
            self._take(message.get("body", b""))
            if not message.get("more_body", False):
                self._finish()
        except S3Error as error:
            self._failure = error
            self._pending.clear()
            raise

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._wire_left is not None:
            self._wire_left -= len(data)
            if self._wire_left < 0:
                raise S3Error("IncompleteBody", "The request body is longer than Content-Length")
        if self._decoder is None:
            self._hash(data)
            self._pending.append(data)
            return
        pieces = self._decoder.feed(data)
        if len(pieces) > _PIECES_MAX:
            joined = b"".join(pieces)
            self._hash(joined)
            self._pending.append(joined)
            return
        for piece in pieces:
            self._hash(piece)
            self._pending.append(piece)

    def _hash(self, data: Buffer) -> None:
        if self._sha256 is not None:
            self._sha256.update(data)
        if self._hasher is not None:
            self._hasher.update(data)
        if self._whole_hasher is not None:
            self._whole_hasher.update(data)

    def _finish(self) -> None:
        """Everything has arrived: compare with what was announced."""
        if self._wire_left:
            raise S3Error(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP "
                "header",
            )
        if self._decoder is not None:
            self._decoder.finish()
        if self._sha256 is not None:
            self._verify_sha256(self._sha256.hexdigest())
        if self._algorithm is not None:
            self._verify_checksum(self._algorithm)
        self._received = True

    def _verify_sha256(self, calculated: str) -> None:
        if calculated != self._content_sha256.lower():
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                elements={
                    "ClientComputedContentSHA256": self._content_sha256,
                    "S3ComputedContentSHA256": calculated,
                },
            )

    def _verify_checksum(self, algorithm: Algorithm) -> None:
        hasher = self._hasher if self._hasher is not None else self._sha256
        assert hasher is not None
        calculated = hasher.digest()
        if self._announced is not None:
            expected = self._announced.digest
            if expected is None:
                assert self._decoder is not None
                value = self._decoder.trailers[algorithm.header.encode()]
                expected = checksums.parse_digest(algorithm, value.decode("latin-1"))
            if expected != calculated:
                raise checksums.digest_mismatch(algorithm)
        self._checksum = Checksum(algorithm.name, checksums.encode_digest(calculated))


def stored_content_encoding(value: str | None) -> str | None:
    """Content-Encoding without the transport's `aws-chunked`, None when nothing else is left."""
    if value is None or "aws-chunked" not in value.lower():
        return value
    codings = [coding.strip() for coding in value.split(",")]
    return ",".join(c for c in codings if c and c.lower() != "aws-chunked") or None


def _has_trailer(payload: PayloadKind) -> bool:
    return (
        payload is PayloadKind.CHUNKS_UNSIGNED_TRAILER
        or payload is PayloadKind.CHUNKS_SIGNED_TRAILER
    )


def _refuse_foreign_framing(head: RequestHead, payload: PayloadKind) -> None:
    """Framing that the payload hash does not speak of would end up inside the object.

    Where the bytes themselves are signed, and no decoded length is told, the word alone was sent:
    it is dropped, as AWS does.
    """
    encoding = head.header_map.get(b"content-encoding")
    if encoding is None or b"aws-chunked" not in encoding.lower():
        return
    if payload is PayloadKind.UNSIGNED or b"x-amz-decoded-content-length" in head.header_map:
        raise invalid_argument(
            "aws-chunked encoding is not supported when x-amz-content-sha256 UNSIGNED-PAYLOAD is "
            "supplied.",
            "Content-Encoding",
            encoding.decode("latin-1"),
        )


def _length(head: RequestHead, name: bytes) -> int | None:
    text = head.header_map.get(name)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise S3Error("InvalidArgument", f"{name.decode()} must be a number of bytes")
    return int(text)
