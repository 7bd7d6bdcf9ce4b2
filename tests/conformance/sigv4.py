"""AWS Signature Version 4 as a client computes it, independent of botocore.

It exists for requests that no SDK sends: chunk signatures with chosen faults, skewed clocks,
hand-made presigned URLs. Source: "Authenticating Requests (AWS Signature Version 4)" in the
Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Credentials:
    """One key pair and the region that its signatures name."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"


def encode_path(path: str) -> str:
    """The path as it is sent and signed: UTF-8, everything but unreserved and `/` escaped."""
    return quote(path, safe="/-_.~")


def encode_query(query: Query) -> str:
    """The query as it is sent and signed: sorted, `name=value` for every item."""
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


class Signature:
    """The signing state of one request: its seed signature, then each chunk's."""

    def __init__(self, credentials: Credentials, at: datetime | None = None) -> None:
        self.credentials = credentials
        self.timestamp = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.timestamp[:8]}/{credentials.region}/s3/aws4_request"
        key = b"AWS4" + credentials.secret_key.encode()
        for part in self.scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        self._key = key
        self.latest = ""

    def _sign(self, kind: str, *lines: str) -> str:
        text = "\n".join([kind, self.timestamp, self.scope, *lines])
        self.latest = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return self.latest

    def _seed(
        self,
        method: str,
        encoded_path: str,
        encoded_query: str,
        headers: Mapping[str, str],
        payload_hash: str,
    ) -> tuple[str, str]:
        lowered = sorted((k.lower(), " ".join(v.split())) for k, v in headers.items())
        names = ";".join(name for name, _ in lowered)
        canonical = "\n".join(
            [
                method,
                encoded_path,
                encoded_query,
                *(f"{name}:{value}" for name, value in lowered),
                "",
                names,
                payload_hash,
            ]
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return names, self._sign("AWS4-HMAC-SHA256", digest)

    def headers(
        self,
        method: str,
        encoded_path: str,
        encoded_query: str,
        headers: Mapping[str, str],
        payload_hash: str,
    ) -> dict[str, str]:
        """`headers` with date, payload hash and Authorization. `host` must be among them."""
        signed = {
            **headers,
            "x-amz-date": self.timestamp,
            "x-amz-content-sha256": payload_hash,
        }
        names, signature = self._seed(method, encoded_path, encoded_query, signed, payload_hash)
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.credentials.access_key}/{self.scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def presigned_target(
        self,
        method: str,
        encoded_path: str,
        headers: Mapping[str, str],
        *,
        expires_s: int = 900,
        query: Query = (),
    ) -> str:
        """Path and query of a presigned URL; `headers` (with `host`) are those that it signs."""
        names = ";".join(sorted(name.lower() for name in headers))
        full = encode_query(
            [
                *query,
                ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
                ("X-Amz-Credential", f"{self.credentials.access_key}/{self.scope}"),
                ("X-Amz-Date", self.timestamp),
                ("X-Amz-Expires", str(expires_s)),
                ("X-Amz-SignedHeaders", names),
            ]
        )
        _, signature = self._seed(method, encoded_path, full, headers, UNSIGNED)
        return f"{encoded_path}?{full}&X-Amz-Signature={signature}"

    def chunk(self, data: bytes) -> str:
        """The signature of the next aws-chunked chunk, chained to the one before."""
        return self._sign(
            "AWS4-HMAC-SHA256-PAYLOAD", self.latest, EMPTY_SHA256, hashlib.sha256(data).hexdigest()
        )

    def trailer(self, lines: bytes) -> str:
        """The signature of the trailing headers: `name:value` lines, each ended by a newline."""
        return self._sign(
            "AWS4-HMAC-SHA256-TRAILER", self.latest, hashlib.sha256(lines).hexdigest()
        )


def chunked_body(
    data: bytes,
    chunk_bytes: int,
    *,
    signature: Signature | None = None,
    trailers: Mapping[str, str] | None = None,
) -> bytes:
    """`data` in aws-chunked framing; signed when `signature` (already seeded) is given."""
    frames = bytearray()
    for start in [*range(0, len(data), chunk_bytes), len(data)]:
        piece = data[start : start + chunk_bytes] if start < len(data) else b""
        extension = f";chunk-signature={signature.chunk(piece)}" if signature else ""
        frames += f"{len(piece):x}{extension}\r\n".encode()
        if piece:
            frames += piece + b"\r\n"
    if trailers:
        for name, value in trailers.items():
            frames += f"{name}:{value}\r\n".encode()
        if signature:
            lines = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode()
            frames += f"x-amz-trailer-signature:{signature.trailer(lines)}\r\n".encode()
    frames += b"\r\n"
    return bytes(frames)
