"""The aws-chunked content encoding: an incremental decoder without I/O.

    body    = *chunk last-chunk [trailer] CRLF
    chunk   = hex-size [";chunk-signature=" 64 hex] CRLF data CRLF
    trailer = *(name ":" value (CRLF | LF)) ["x-amz-trailer-signature:" 64 hex CRLF]

Source: S3 API Reference, "Signature Calculations for the Authorization Header: Transferring
Payload in Multiple Chunks" and "... Including Trailing Headers (Chunked Upload)". Some clients end
a trailer line with LF alone and put an empty line before the trailer's signature: both are read.

Invariants: data leave as views of what was fed, uncopied; what is kept between calls is at most
one line under `LINE_BYTES_MAX` and the trailers under `TRAILER_BYTES_MAX`. Data leave *before*
their chunk's signature is known to be right: only a decoder that is `complete` vouches for them.
Errors are S3's: IncompleteBody for framing, MalformedTrailerError for trailers,
SignatureDoesNotMatch for a broken chain.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from enum import Enum, auto

from trilith.s3.authentication import ChunkSigner, PayloadKind
from trilith.s3.errors import S3Error

LINE_BYTES_MAX = 512
TRAILER_BYTES_MAX = 4096

_SIGNATURE_EXTENSION = b"chunk-signature="
_TRAILER_SIGNATURE = b"x-amz-trailer-signature"
_HEX = b"0123456789abcdefABCDEF"
_NO_BYTES = hashlib.sha256()
# One client ends its trailers with a spare CRLF.
_SPARE_BYTES_MAX = 4


class _State(Enum):
    HEADER = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    COMPLETE = auto()


class ChunkedDecoder:
    """Decodes one body. After an error it must not be fed again.

    `decoded_length` is x-amz-decoded-content-length, which the data must have exactly;
    `trailer_names` (lower case) are what x-amz-trailer announced: each must come, and no other.
    """

    def __init__(
        self,
        kind: PayloadKind,
        decoded_length: int,
        *,
        signer: ChunkSigner | None = None,
        trailer_names: Collection[bytes] = (),
    ) -> None:
        signed = kind is not PayloadKind.CHUNKS_UNSIGNED_TRAILER
        if signed and signer is None:
            raise ValueError(f"{kind} needs a signer")
        self._signer = signer if signed else None
        self._with_trailer = kind is not PayloadKind.CHUNKS_SIGNED
        self._announced = frozenset(trailer_names) if self._with_trailer else frozenset()
        self._left = decoded_length  # data bytes that the announced length still allows
        self._state = _State.HEADER
        self._line = bytearray()  # an unfinished line
        self._chunk_left = 0
        self._chunk_signature = b""
        self._chunk_hash = _NO_BYTES  # replaced at each signed chunk
        self._trailer_bytes = 0
        self._trailer_lines = b""  # canonical, as they are signed
        self._trailer_signature: bytes | None = None
        self._spare = 0
        self.trailers: dict[bytes, bytes] = {}

    @property
    def complete(self) -> bool:
        """The whole body was fed, and everything in it is as announced and signed."""
        return self._state is _State.COMPLETE

    def feed(self, data: bytes) -> list[memoryview]:
        """The data in these bytes, as views of them. Raises S3Error."""
        pieces: list[memoryview] = []
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end:
            if self._state is _State.DATA:
                piece = view[position : position + self._chunk_left]
                pieces.append(piece)
                position += len(piece)
                self._take_data(piece)
                continue
            if self._state is _State.COMPLETE:
                self._take_spare(view[position:])
                break
            line_end = data.find(b"\n", position, position + LINE_BYTES_MAX)
            stop = min(line_end + 1 if line_end >= 0 else end, position + LINE_BYTES_MAX)
            self._line += view[position:stop]
            position = stop
            if len(self._line) > LINE_BYTES_MAX or (line_end < 0 and position < end):
                raise self._malformed()
            if line_end >= 0:
                line = bytes(self._line)
                self._line.clear()
                self._take_line(line)
        return pieces

    def finish(self) -> None:
        """The body has ended. Raises IncompleteBody when it should not have."""
        if self._state is not _State.COMPLETE:
            raise S3Error("IncompleteBody")

    def _malformed(self) -> S3Error:
        in_trailer = self._state is _State.TRAILER
        return S3Error("MalformedTrailerError" if in_trailer else "IncompleteBody")

    def _take_data(self, piece: memoryview) -> None:
        if self._signer is not None:
            self._chunk_hash.update(piece)
        self._chunk_left -= len(piece)
        if self._chunk_left == 0:
            self._verify_chunk()
            self._state = _State.DATA_END

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.TRAILER:
            self._take_trailer(line)
        elif not line.endswith(b"\r\n"):
            raise S3Error("IncompleteBody")
        elif self._state is _State.DATA_END:
            if line != b"\r\n":
                raise S3Error("IncompleteBody")
            self._state = _State.HEADER
        else:
            self._take_header(line[:-2])

    def _take_header(self, line: bytes) -> None:
        size_text, semicolon, extension = line.partition(b";")
        if not 0 < len(size_text) <= 16 or size_text.translate(None, _HEX):
            raise S3Error("IncompleteBody")
        if self._signer is not None:
            if not extension.startswith(_SIGNATURE_EXTENSION):
                raise S3Error("IncompleteBody")
            self._chunk_signature = extension[len(_SIGNATURE_EXTENSION) :]
        elif semicolon:
            raise S3Error("IncompleteBody")
        size = int(size_text, 16)
        if size > self._left:
            raise _wrong_length()
        self._left -= size
        self._chunk_left = size
        if self._signer is not None:
            self._chunk_hash = hashlib.sha256()
        if size:
            self._state = _State.DATA
            return
        if self._left:
            raise _wrong_length()
        self._verify_chunk()
        self._state = _State.TRAILER

    def _verify_chunk(self) -> None:
        if self._signer is None:
            return
        expected = self._signer.chunk(self._chunk_hash.hexdigest()).encode()
        if not hmac.compare_digest(expected, self._chunk_signature):
            raise S3Error("SignatureDoesNotMatch")

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > TRAILER_BYTES_MAX:
            raise S3Error("MalformedTrailerError")
        text = line.strip(b"\r\n")
        if not text:
            awaits_signature = (
                self._signer is not None and self.trailers and self._trailer_signature is None
            )
            if not awaits_signature:
                self._finish_trailer()
            return
        name, colon, value = text.partition(b":")
        name = name.strip().lower()
        value = value.strip()
        if name == _TRAILER_SIGNATURE and colon and self._signer and self._with_trailer:
            if self._trailer_signature is not None:
                raise S3Error("MalformedTrailerError")
            self._trailer_signature = value
            return
        late = self._trailer_signature is not None
        if not colon or name not in self._announced or name in self.trailers or late:
            raise S3Error("MalformedTrailerError")
        self.trailers[name] = value
        self._trailer_lines += name + b":" + value + b"\n"

    def _finish_trailer(self) -> None:
        if len(self.trailers) != len(self._announced):
            raise S3Error("MalformedTrailerError")
        unsigned = not self.trailers and self._trailer_signature is None
        if self._with_trailer and self._signer is not None and not unsigned:
            digest = hashlib.sha256(self._trailer_lines).hexdigest()
            expected = self._signer.trailer(digest).encode()
            if not hmac.compare_digest(expected, self._trailer_signature or b""):
                raise S3Error("SignatureDoesNotMatch")
        self._state = _State.COMPLETE

    def _take_spare(self, rest: memoryview) -> None:
        self._spare += len(rest)
        if self._spare > _SPARE_BYTES_MAX or bytes(rest).strip(b"\r\n"):
            raise S3Error("IncompleteBody", "The request body goes on after its last chunk")


def _wrong_length() -> S3Error:
    return S3Error(
        "IncompleteBody",
        "The request body does not have the number of bytes specified by the "
        "x-amz-decoded-content-length HTTP header",
    )
