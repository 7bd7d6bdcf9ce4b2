"""An aws-chunked encoder, written from the specification, for the decoder's tests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from trilith.iam.credentials import root_credential
from trilith.iam.signing_keys import SigningKey
from trilith.s3.authentication import ChunkSigner, PayloadKind

TIMESTAMP = "20130524T000000Z"
SCOPE = "20130524/us-east-1/s3/aws4_request"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SEED = "ab" * 32


def signer() -> ChunkSigner:
    key = SigningKey(root_credential("AKIA", SECRET), *SCOPE.split("/")[:3])
    return ChunkSigner(key, TIMESTAMP.encode(), SEED)


def _sign(kind: str, previous: str, *hashes: str) -> str:
    key = b"AWS4" + SECRET.encode()
    for part in SCOPE.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", TIMESTAMP, SCOPE, previous, *hashes))
    return hmac.digest(key, text.encode(), "sha256").hex()


def encode(
    kind: PayloadKind,
    chunks: Sequence[bytes],
    trailers: Sequence[tuple[str, str]] = (),
    *,
    line_end: str = "\r\n",
) -> bytes:
    """The wire form of a body. `line_end` ends trailer lines (some clients write "\\n\\r\\n")."""
    signed = kind is not PayloadKind.CHUNKS_UNSIGNED_TRAILER
    previous = SEED
    wire = bytearray()
    for chunk in [*(c for c in chunks if c), b""]:
        wire += f"{len(chunk):x}".encode()
        if signed:
            empty, digest = hashlib.sha256().hexdigest(), hashlib.sha256(chunk).hexdigest()
            previous = _sign("PAYLOAD", previous, empty, digest)
            wire += f";chunk-signature={previous}".encode()
        wire += b"\r\n"
        if chunk:
            wire += chunk + b"\r\n"
    for name, value in trailers:
        wire += f"{name}:{value}{line_end}".encode()
    if signed and kind is PayloadKind.CHUNKS_SIGNED_TRAILER:
        canonical = "".join(f"{name}:{value}\n" for name, value in trailers)
        signature = _sign("TRAILER", previous, hashlib.sha256(canonical.encode()).hexdigest())
        wire += f"x-amz-trailer-signature:{signature}\r\n".encode()
    return bytes(wire + b"\r\n")
