"""AWS Signature Version 2 for S3: what boto3 presigns with unless it is told otherwise.

    signature = base64(HMAC-SHA1(secret key, text))
    text      = method LF Content-MD5 LF Content-Type LF date LF amz-headers resource

In a presigned URL `date` is its `Expires` (seconds since the epoch), and headers that the signer
knew of may stand as parameters. Neither the host nor the body are signed. Source: S3 User Guide,
"Signing and authenticating REST requests (AWS signature version 2)".

Must not know: buckets, keys, operations, policies.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from trilith.iam.credentials import Credential, CredentialSource
from trilith.runtime.clock import Clock
from trilith.s3 import sigv4_claims as claims_of
from trilith.s3.authentication import Authentication, PayloadKind, credential_of
from trilith.s3.errors import S3Error, not_implemented
from trilith.s3.post_form import form_field
from trilith.s3.request_head import RequestHead

PARAMETERS = frozenset({"AWSAccessKeyId", "Expires", "Signature"})
# Headers that a presigned URL may carry as parameters, beside x-amz-*.
HEADER_PARAMETERS = frozenset({"content-md5", "content-type"})

# The parameters that are signed; the others only choose among what a listing shows. `attributes`
# and `renameObject` are younger than this version: unsigned, they would make another request of it.
_RESOURCE_PARAMETERS = frozenset(
    b"accelerate acl analytics attributes cors defaultObjectAcl delete encryption inventory "
    b"legal-hold lifecycle location logging metrics notification object-lock partNumber policy "
    b"renameObject replication requestPayment response-cache-control "
    b"response-content-disposition response-content-encoding response-content-language "
    b"response-content-type response-expires restore retention select select-type storageClass "
    b"tagging torrent uploadId uploads versionId versioning versions website".split()
)
# Chunks cannot be signed with this version.
_PAYLOADS = {
    kind.value: kind for kind in (PayloadKind.UNSIGNED, PayloadKind.CHUNKS_UNSIGNED_TRAILER)
}


class SigV2Authenticator:
    """Verifies signatures. Holds no state; safe to share."""

    def __init__(self, credentials: CredentialSource, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock

    def by_query(self, head: RequestHead, *, host_bucket: str) -> Authentication:
        """A presigned URL. `host_bucket`: what the Host header names, "" for none.

        Raises S3Error: AccessDenied when it has expired or lacks a part, InvalidAccessKeyId,
        SignatureDoesNotMatch.
        """
        parameters = dict(head.query.pairs)
        if not parameters.keys() >= PARAMETERS:
            raise S3Error(
                "AccessDenied",
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId "
                "parameters",
            )
        expires = parameters["Expires"]
        if not (expires.isascii() and expires.isdigit()) or len(expires) > 12:
            raise S3Error(
                "AccessDenied", f"Invalid date (should be seconds since epoch): {expires}"
            )
        now_ms, expires_ms = self._clock.wall_ms(), int(expires) * 1000
        if now_ms > expires_ms:
            raise claims_of.expired(expires_ms, now_ms, {})
        headers = dict(head.header_map)
        for name, value in head.query.pairs:
            lower = name.lower()
            if lower.startswith("x-amz-") or lower in HEADER_PARAMETERS:
                headers.setdefault(lower.encode(), value.encode())
        credential = self._credential(parameters["AWSAccessKeyId"], headers)
        return _verified(
            credential, head, headers, expires.encode(), host_bucket, parameters["Signature"]
        )

    def by_header(
        self, head: RequestHead, authorization: str, *, host_bucket: str
    ) -> Authentication:
        """`Authorization: AWS key:signature`. Raises S3Error."""
        access_key_id, colon, signature = authorization[4:].strip().rpartition(":")
        if not colon:
            raise S3Error("InvalidArgument", "Authorization header is invalid")
        headers = head.header_map
        date = headers.get(b"x-amz-date", headers.get(b"date", b""))
        try:
            text = claims_of.timestamp_of_date_header(date.decode("latin-1"))
            signed_ms = claims_of.parse_timestamp(text)
        except (ValueError, OverflowError):
            raise claims_of.invalid_date() from None
        now_ms = self._clock.wall_ms()
        if abs(now_ms - signed_ms) > claims_of.SKEW_MAX_MS:
            raise claims_of.too_skewed(date.decode("latin-1"), now_ms)
        credential = self._credential(access_key_id, headers)
        signed_date = b"" if b"x-amz-date" in headers else date
        return _verified(credential, head, headers, signed_date, host_bucket, signature)

    def by_form(self, fields: Mapping[str, str], policy: bytes) -> Authentication:
        """A PostObject's form, names in lower case; `policy` as sent. Raises S3Error."""
        access_key_id = form_field(fields, "AWSAccessKeyId")
        given = form_field(fields, "signature")
        token = fields.get("x-amz-security-token")
        headers = {} if token is None else {b"x-amz-security-token": token.encode()}
        credential = self._credential(access_key_id, headers)
        if not matches(credential, policy, given):
            raise S3Error(
                "SignatureDoesNotMatch",
                elements={
                    "AWSAccessKeyId": access_key_id,
                    "StringToSign": policy.decode(),
                    "SignatureProvided": given,
                },
            )
        kind = PayloadKind.UNSIGNED
        return Authentication(credential.identity, kind, kind.value)

    def _credential(self, access_key_id: str, headers: dict[bytes, bytes]) -> Credential:
        token = headers.get(b"x-amz-security-token")
        session_token = None if token is None else token.decode("latin-1")
        return credential_of(self._credentials, access_key_id, session_token)


def signature(secret_key: str, text: bytes) -> str:
    """HMAC-SHA1 in base64: of a request's text, or of a POST policy as it was sent."""
    return b64encode(hmac.digest(secret_key.encode(), text, "sha1")).decode()


def matches(credential: Credential, text: bytes, given: str) -> bool:
    """Whether `given` is the signature of the text. In constant time."""
    expected = signature(credential.secret_key, text)
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _string_to_sign(
    head: RequestHead,
    headers: dict[bytes, bytes],
    date: bytes,
    host_bucket: str,
    *,
    with_slash: bool = False,
) -> bytes:
    lines = [
        head.method.encode(),
        headers.get(b"content-md5", b"").strip(),
        headers.get(b"content-type", b"").strip(),
        date,
    ]
    lines += [
        name + b":" + headers[name].strip() for name in sorted(headers) if name[:6] == b"x-amz-"
    ]
    resource = head.raw_path
    if host_bucket:
        resource = b"/" + host_bucket.encode() + resource
    elif with_slash:
        resource += b"/"
    signed = []
    for segment in head.query_string.split(b"&"):
        name, equals, value = segment.partition(b"=")
        if name in _RESOURCE_PARAMETERS:
            signed.append((name, name + equals + unquote_to_bytes(value)))
    if signed:
        resource += b"?" + b"&".join([text for _, text in sorted(signed, key=lambda one: one[0])])
    return b"\n".join([*lines, resource])


def _verified(
    credential: Credential,
    head: RequestHead,
    headers: dict[bytes, bytes],
    date: bytes,
    host_bucket: str,
    given: str,
) -> Authentication:
    text = _string_to_sign(head, headers, date, host_bucket)
    good = matches(credential, text, given)
    if not good and head.raw_path.count(b"/") == 1:
        # Most clients ask for /bucket and sign /bucket/, which is the same.
        slashed = _string_to_sign(head, headers, date, host_bucket, with_slash=True)
        good = matches(credential, slashed, given)
    if not good:
        raise S3Error(
            "SignatureDoesNotMatch",
            elements={
                "AWSAccessKeyId": credential.identity.access_key_id,
                "StringToSign": text.decode("utf-8", "replace"),
                "SignatureProvided": given,
                "StringToSignBytes": text.hex(" "),
            },
        )
    content = headers.get(b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD").decode("latin-1")
    kind = _PAYLOADS.get(content)
    if kind is None:
        if len(content) != 64:
            raise not_implemented(f"{content} with AWS Signature Version 2")
        kind = PayloadKind.SIGNED
    return Authentication(credential.identity, kind, content)
