"""What authentication hands on: who called, and how the body is to be verified."""

from __future__ import annotations

import hmac
from enum import Enum

from trilith.iam.credentials import Credential, CredentialSource, Identity
from trilith.iam.signing_keys import SigningKey
from trilith.s3.errors import S3Error

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class PayloadKind(Enum):
    """The meaning of x-amz-content-sha256."""

    UNSIGNED = "UNSIGNED-PAYLOAD"
    SIGNED = "signed"  # the header is the body's SHA-256
    CHUNKS_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    CHUNKS_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
    CHUNKS_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    @property
    def is_chunked(self) -> bool:
        """Whether the body carries aws-chunked framing."""
        return self is not PayloadKind.UNSIGNED and self is not PayloadKind.SIGNED


class ChunkSigner:
    """The chain of chunk signatures; each covers the one before, the first the request's own.

    Source: S3 API Reference, "Signature calculations ... transferring payload in multiple chunks"
    and "... including trailing headers".
    """

    __slots__ = ("_chunk_prefix", "_key", "_trailer_prefix", "previous")

    def __init__(self, key: SigningKey, timestamp: bytes, seed_signature: str) -> None:
        self._key = key
        scope = timestamp + b"\n" + key.scope + b"\n"
        self._chunk_prefix = b"AWS4-HMAC-SHA256-PAYLOAD\n" + scope
        self._trailer_prefix = b"AWS4-HMAC-SHA256-TRAILER\n" + scope
        self.previous = seed_signature

    def chunk(self, data_sha256: str) -> str:
        """The next chunk's signature, from its data's SHA-256 in hex."""
        self.previous = self._key.sign(
            b"%b%b\n%b\n%b"
            % (
                self._chunk_prefix,
                self.previous.encode(),
                EMPTY_SHA256.encode(),
                data_sha256.encode(),
            )
        )
        return self.previous

    def trailer(self, trailer_sha256: str) -> str:
        """The trailer's signature, from the SHA-256 of its canonical `name:value\\n` lines."""
        self.previous = self._key.sign(
            b"%b%b\n%b" % (self._trailer_prefix, self.previous.encode(), trailer_sha256.encode())
        )
        return self.previous


class Authentication:
    """A verified request. `content_sha256` is x-amz-content-sha256 as sent."""

    __slots__ = ("chunk_signer", "content_sha256", "identity", "payload")

    def __init__(
        self,
        identity: Identity,
        payload: PayloadKind,
        content_sha256: str,
        chunk_signer: ChunkSigner | None = None,
    ) -> None:
        self.identity = identity
        self.payload = payload
        self.content_sha256 = content_sha256
        self.chunk_signer = chunk_signer


def credential_of(
    credentials: CredentialSource, access_key_id: str, session_token: str | None
) -> Credential:
    """Temporary credentials come with their token, others without.

    Raises InvalidAccessKeyId, InvalidToken.
    """
    credential = credentials.find(access_key_id)
    if credential is None:
        raise S3Error("InvalidAccessKeyId", elements={"AWSAccessKeyId": access_key_id})
    expected = credential.session_token
    if expected is None and session_token is None:
        return credential
    if (
        expected is None
        or session_token is None
        or not hmac.compare_digest(expected.encode(), session_token.encode())
    ):
        raise S3Error("InvalidToken")
    return credential
