"""The multipart/form-data body of a PostObject: fields first, then one file, which streams.

    --boundary CRLF headers CRLF CRLF value   (a field, again and again)
    --boundary CRLF headers CRLF CRLF bytes   (the part named `file`)
    --boundary--                              (whatever comes behind the file is ignored, as by AWS)

Implements `objects.types.Body` for the file. Sources: RFC 7578, RFC 2046 section 5.1; S3 API
Reference, "POST Object". Memory: the fields, under FIELDS_BYTES_MAX; of the file what one
`receive()` delivers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from email.message import Message
from typing import Any

from trilith.objects.digests import Digest
from trilith.objects.types import Checksum
from trilith.s3 import checksums
from trilith.s3.checksums import Announced
from trilith.s3.errors import ClientDisconnectedError, S3Error, invalid_argument

FIELDS_BYTES_MAX = 20 << 10
BOUNDARY_CHARACTERS_MAX = 70  # RFC 2046

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Raises PreconditionFailed, MalformedPOSTRequest."""
    message = Message()
    message["content-type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        raise S3Error(
            "PreconditionFailed",
            elements={"Condition": "Bucket POST must be of the enclosure-type multipart/form-data"},
        )
    boundary = message.get_boundary("")
    if not boundary.isascii() or not 1 <= len(boundary) <= BOUNDARY_CHARACTERS_MAX:
        raise malformed()
    return boundary.encode()


def malformed() -> S3Error:
    return S3Error("MalformedPOSTRequest")


def form_field(fields: Mapping[str, str], name: str) -> str:
    """A field that a signed form must have. Raises InvalidArgument."""
    value = fields.get(name.lower())
    if value is None:
        raise invalid_argument(
            f"Bucket POST must contain a field named '{name}'.  If it is specified, please check "
            "the order of the fields.",
            name,
            "",
        )
    return value


class PostForm:
    """One form. `read_fields` first; `expect`; then it is the file's body."""

    def __init__(self, receive: Receive, boundary: bytes) -> None:
        self._receive = receive
        self._mark = b"\r\n--" + boundary
        # The first mark has no line before it.
        self._buffer = bytearray(b"\r\n")
        self._fields_bytes = 0
        self._received_all = False
        self._file_ended = False
        self._bytes_min, self._bytes_max = 0, 0
        self._hasher: Digest | None = None
        self._announced: Announced | None = None
        self._checksum: Checksum | None = None
        self._failure: S3Error | None = None
        self.file_bytes = 0

    # --- the fields --------------------------------------------------------------------------

    async def read_fields(self) -> tuple[list[tuple[str, str]], str]:
        """Fields in order, and the file's name, "" for none; the file's bytes are next.

        Raises MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument without a file.
        """
        fields: list[tuple[str, str]] = []
        await self._take_until(self._mark)
        while True:
            rest = await self._take_until(b"\r\n")
            if rest.rstrip(b" \t"):
                if rest.startswith(b"--"):
                    raise _no_file()
                raise malformed()
            headers = await self._headers()
            name = headers.get_param("name", header="content-disposition")
            if not isinstance(name, str):
                raise malformed()
            if name.lower() == "file":
                return fields, headers.get_filename("")
            try:
                fields.append((name, (await self._take_until(self._mark)).decode()))
            except UnicodeDecodeError:
                raise malformed() from None

    async def _headers(self) -> Message:
        message = Message()
        while line := await self._take_until(b"\r\n"):
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            if not colon:
                raise malformed()
            message[name.strip()] = value.strip()
        return message

    async def _take_until(self, end: bytes) -> bytes:
        """What is before `end`, which is taken, too."""
        start = 0
        while (found := self._buffer.find(end, start)) < 0:
            if len(self._buffer) > FIELDS_BYTES_MAX:
                raise S3Error("MaxPostPreDataLengthExceeded")
            start = max(0, len(self._buffer) - len(end))
            if not await self._receive_more():
                raise malformed()
        self._fields_bytes += found
        if self._fields_bytes > FIELDS_BYTES_MAX:
            raise S3Error("MaxPostPreDataLengthExceeded")
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return taken

    async def _receive_more(self) -> bool:
        if self._received_all:
            return False
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnectedError
        self._buffer += message.get("body", b"")
        self._received_all = not message.get("more_body", False)
        return True

    # --- the file ----------------------------------------------------------------------------

    def expect(self, bytes_min: int, bytes_max: int, announced: Announced | None) -> None:
        """What the file must be: its length, inclusive, and the checksum announced for it."""
        self._bytes_min, self._bytes_max = bytes_min, bytes_max
        self._announced = announced
        algorithm = announced.algorithm if announced is not None else checksums.DEFAULT_CHECKSUM
        self._hasher = algorithm.new()

    @property
    def size(self) -> None:
        """Nothing in a form says how long its file is."""
        return

    def checksum(self) -> Checksum | None:
        return self._checksum

    async def read(self) -> bytes:
        """The next run, b"" at the verified end.

        Raises EntityTooLarge, EntityTooSmall, BadDigest, MalformedPOSTRequest; then again.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return await self._read()
        except S3Error as error:
            self._failure = error
            raise

    async def _read(self) -> bytes:
        held_back = len(self._mark) - 1
        while not self._file_ended:
            found = self._buffer.find(self._mark)
            self._file_ended = found >= 0
            end = found if self._file_ended else len(self._buffer) - held_back
            if end > 0:
                run = bytes(self._buffer[:end])
                del self._buffer[:end]
                self._count(run)
                return run
            if not self._file_ended and not await self._receive_more():
                raise malformed()
        if self._checksum is None:
            await self._finish()
        return b""

    def _count(self, run: bytes) -> None:
        self.file_bytes += len(run)
        if self.file_bytes > self._bytes_max:
            raise S3Error(
                "EntityTooLarge",
                elements={"ProposedSize": self.file_bytes, "MaxSizeAllowed": self._bytes_max},
            )
        assert self._hasher is not None
        self._hasher.update(run)

    async def _finish(self) -> None:
        """The file has ended: let the rest go by, and compare with what was expected."""
        ignored = 0
        while True:
            ignored += len(self._buffer)
            self._buffer.clear()
            if ignored > FIELDS_BYTES_MAX:
                raise malformed()
            if not await self._receive_more():
                break
        if self.file_bytes < self._bytes_min:
            raise S3Error(
                "EntityTooSmall",
                elements={"ProposedSize": self.file_bytes, "MinSizeAllowed": self._bytes_min},
            )
        assert self._hasher is not None
        digest = self._hasher.digest()
        algorithm = checksums.DEFAULT_CHECKSUM
        if self._announced is not None:
            algorithm = self._announced.algorithm
            if self._announced.digest != digest:
                raise checksums.digest_mismatch(algorithm)
        self._checksum = Checksum(algorithm.name, checksums.encode_digest(digest))


def _no_file() -> S3Error:
    return invalid_argument("POST requires exactly one file upload per request.", "file", "0")
