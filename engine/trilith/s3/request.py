"""One S3 request as the operations see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from trilith.iam.credentials import Identity
from trilith.objects.types import ObjectReader
from trilith.s3.authentication import Authentication
from trilith.s3.checksums import Algorithm
from trilith.s3.errors import S3Error, invalid_argument
from trilith.s3.request_body import RequestBody
from trilith.s3.request_head import RequestHead
from trilith.s3.routing import Route

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

INTEGER_MAX = 2_147_483_647
CONFIGURATION_BYTES_MAX = 64 << 10  # a document that configures a bucket


class Request:
    """Routed; `authentication` is set before an operation runs. `reader`: opened in advance."""

    __slots__ = (
        "_parameters",
        "authentication",
        "body",
        "bucket",
        "bytes_in",
        "bytes_out",
        "head",
        "key",
        "operation",
        "reader",
        "receive",
        "remote",
        "request_id",
        "scheme",
        "started_s",
    )

    def __init__(
        self,
        head: RequestHead,
        request_id: str,
        started_s: float,
        remote: str,
        scheme: str = "http",
    ) -> None:
        self.head = head
        self.request_id = request_id
        self.started_s = started_s
        self.remote = remote
        self.scheme = scheme
        self.operation = "Unrouted"
        self.bucket = ""
        self.key = ""
        self.authentication: Authentication | None = None
        self.reader: ObjectReader | None = None
        self.receive: Receive | None = None
        self.body: RequestBody | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self._parameters: dict[str, str] | None = None

    def routed(self, route: Route) -> None:
        self.operation = route.operation
        self.bucket = route.bucket
        self.key = route.key

    @property
    def identity(self) -> Identity:
        assert self.authentication is not None
        return self.authentication.identity

    @property
    def parameters(self) -> dict[str, str]:
        """Query parameters, decoded; the last of a name wins."""
        if self._parameters is None:
            self._parameters = dict(self.head.query.pairs)
        return self._parameters

    def parameter(self, name: str) -> str:
        return self.parameters.get(name, "")

    def header(self, name: bytes) -> str | None:
        return self.head.header(name)

    def integer(self, name: str, default: int, *, low: int = 0, cap: int | None = None) -> int:
        """A query parameter's number, at most `cap`. Raises InvalidArgument out of its bounds."""
        text = self.parameters.get(name)
        if text is None or text == "":
            return default
        digits = text.removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            raise invalid_argument(
                f"Provided {name} not an integer or within integer range", name, text
            )
        value = int(text)
        if not low <= value <= INTEGER_MAX:
            raise invalid_argument(
                f"Argument {name} must be an integer between {low} and {INTEGER_MAX}", name, text
            )
        return value if cap is None else min(value, cap)

    def open_body(
        self,
        *,
        default_checksum: Algorithm | None = None,
        whole_checksum: Algorithm | None = None,
    ) -> RequestBody:
        """The body's reader; once for each request. Raises S3Error for the headers about it."""
        assert self.receive is not None
        assert self.authentication is not None
        self.body = RequestBody(
            self.head,
            self.authentication,
            self.receive,
            default_checksum=default_checksum,
            whole_checksum=whole_checksum,
        )
        return self.body

    async def read_document(self, limit: int) -> bytes:
        """A whole small body (XML), verified. Raises MaxMessageLengthExceeded over `limit`."""
        body = self.open_body()
        content = await body.read_small(limit)
        if content is None:
            raise S3Error(
                "MaxMessageLengthExceeded", elements={"MaxMessageLengthBytes": str(limit)}
            )
        self.bytes_in = len(content)
        self.check_content_md5(content, body.expected_md5)
        return bytes(content)

    @staticmethod
    def check_content_md5(content: bytes | bytearray | memoryview, expected: bytes | None) -> None:
        import hashlib

        from trilith.s3.checksums import content_md5_mismatch

        if expected is not None:
            calculated = hashlib.md5(content, usedforsecurity=False).digest()
            if calculated != expected:
                raise content_md5_mismatch(expected, calculated)
