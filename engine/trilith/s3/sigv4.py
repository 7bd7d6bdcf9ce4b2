"""AWS Signature Version 4 for S3: who sent this request, and is it what they signed?

Source: S3 API Reference, "Authenticating Requests (AWS Signature Version 4)", for the Authorization
header and for presigned URLs. S3's deviations from general SigV4: the path is encoded once and not
normalised, and x-amz-content-sha256 is part of the request.

One leniency: a signature over the path and query *as sent* is accepted too, beside the one over
their canonical re-encoding, since some clients sign what they send. Neither form can be taken for
another request: the first is the very bytes, the second decodes to the same names.

Must not know: buckets, keys, operations, policies.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from trilith.iam.credentials import CredentialSource
from trilith.iam.signing_keys import SigningKey, SigningKeys
from trilith.runtime.clock import Clock
from trilith.s3 import sigv4_claims as claims_of
from trilith.s3.authentication import Authentication, ChunkSigner, PayloadKind, credential_of
from trilith.s3.errors import S3Error, invalid_argument, not_implemented
from trilith.s3.post_form import form_field
from trilith.s3.request_head import Pairs, RequestHead, canonical_path
from trilith.s3.sigv2 import SigV2Authenticator
from trilith.s3.sigv4_claims import SKEW_MAX_MS, Claims, SignedHeaders

SERVICE = "s3"

_QUERY_SIGNATURE = frozenset({"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"})
_REQUIRED_PARAMETERS = _QUERY_SIGNATURE | {"X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"}
_ECDSA_PAYLOADS = frozenset(
    {
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
    }
)
_PAYLOADS = {kind.value: kind for kind in PayloadKind if kind is not PayloadKind.SIGNED}
_HEX = b"0123456789abcdefABCDEF"


class SigV4Authenticator:
    """Verifies signatures for one region, and those of version 2 (sigv2.py), which have none.
    Holds no state but caches; safe to share.

    `any_region`: accept whatever region a client signs for, as single-site stores do.
    """

    def __init__(
        self,
        credentials: CredentialSource,
        clock: Clock,
        *,
        region: str,
        any_region: bool = False,
        signing_keys: SigningKeys | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._region = region
        self._any_region = any_region
        self._keys = signing_keys or SigningKeys()
        self._version_2 = SigV2Authenticator(credentials, clock)

    def authenticate(self, head: RequestHead, host_bucket: str = "") -> Authentication:
        """Raises S3Error: AccessDenied for an unsigned request, else the specific reason.

        `host_bucket`: the bucket that the Host header names, which version 2 signs.
        """
        if not head.query.is_utf8:
            raise S3Error("InvalidURI")
        authorization = head.header_map.get(b"authorization")
        pairs = head.query.pairs
        if authorization is not None:
            for name, _ in pairs:
                if name in _QUERY_SIGNATURE:
                    raise invalid_argument(
                        "Only one auth mechanism allowed; only the X-Amz-Algorithm query "
                        "parameter, Signature query string parameter or the Authorization header "
                        "should be specified",
                        "Authorization",
                        authorization.decode("latin-1"),
                    )
            text = authorization.decode("latin-1")
            if text.startswith("AWS "):
                return self._version_2.by_header(head, text, host_bucket=host_bucket)
            return self._by_header(head, text)
        if pairs:
            parameters = dict(pairs)
            if not _QUERY_SIGNATURE.isdisjoint(parameters):
                return self._by_query(head, parameters)
            if "AWSAccessKeyId" in parameters and "Signature" in parameters:
                return self._version_2.by_query(head, host_bucket=host_bucket)
        raise S3Error("AccessDenied")

    def _by_header(self, head: RequestHead, authorization: str) -> Authentication:
        claims, signature = claims_of.parse_authorization(authorization)
        if claims.region != self._region and not self._any_region:
            raise claims_of.wrong_region(claims_of.header_malformed, claims.region, self._region)
        timestamp = self._request_timestamp(head, claims)
        content_sha256 = head.header_map.get(b"x-amz-content-sha256")
        if content_sha256 is None:
            raise S3Error(
                "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
            )
        kind, content = _payload(content_sha256.decode("latin-1"))
        key = self._key(claims, head.header(b"x-amz-security-token"))
        _require_signed(head.header_map, claims.signed_headers)
        signed = _Signed(key, claims.signed_headers, timestamp, content, signature)
        _verify(head, head.query.encoded, signed)
        return _authenticated(signed, kind)

    def _request_timestamp(self, head: RequestHead, claims: Claims) -> str:
        """The time of signing, checked against the clock and the credential's date."""
        text = head.header(b"x-amz-date")
        try:
            if text is None:
                text = claims_of.timestamp_of_date_header(head.header(b"date") or "")
            signed_ms = claims_of.parse_timestamp(text)
        except (ValueError, OverflowError):
            raise claims_of.invalid_date() from None
        if not text.startswith(claims.date):
            raise claims_of.header_malformed(
                f'Invalid credential date "{claims.date}". This date is not the same as '
                f'X-Amz-Date: "{text[:8]}".'
            )
        now_ms = self._clock.wall_ms()
        if abs(now_ms - signed_ms) > SKEW_MAX_MS:
            raise claims_of.too_skewed(text, now_ms)
        return text

    def authenticate_form(self, fields: Mapping[str, str]) -> Authentication:
        """Of a PostObject whose policy is signed, with version 4 or 2. Names are in lower case.

        Raises S3Error: AccessDenied for an unsigned form, InvalidArgument for one that lacks a
        field, else the specific reason. When it ends is the policy's to say.
        """
        if "policy" not in fields:
            raise S3Error("AccessDenied")
        policy = fields["policy"].encode()
        if "x-amz-signature" not in fields and "x-amz-credential" not in fields:
            return self._version_2.by_form(fields, policy)
        algorithm = form_field(fields, "x-amz-algorithm")
        if algorithm != claims_of.ALGORITHM:
            raise invalid_argument(
                "Only AWS4-HMAC-SHA256 is supported", "X-Amz-Algorithm", algorithm
            )
        access_key_id, date, region = claims_of.split_credential(
            form_field(fields, "x-amz-credential"), _bad_form_credential
        )
        if region != self._region and not self._any_region:
            raise claims_of.wrong_region(_bad_form_credential, region, self._region)
        if not form_field(fields, "x-amz-date").startswith(date):
            raise _bad_form_credential("its date is not that of X-Amz-Date.")
        claims = Claims(access_key_id, date, region, _NO_HEADERS)
        key = self._key(claims, fields.get("x-amz-security-token"))
        given = form_field(fields, "x-amz-signature").encode("utf-8", "replace")
        if not hmac.compare_digest(key.sign(policy).encode(), given):
            raise S3Error(
                "SignatureDoesNotMatch",
                elements={"AWSAccessKeyId": access_key_id, "StringToSign": fields["policy"]},
            )
        kind = PayloadKind.UNSIGNED
        return Authentication(key.credential.identity, kind, kind.value)

    def _by_query(self, head: RequestHead, parameters: dict[str, str]) -> Authentication:
        if not parameters.keys() >= _REQUIRED_PARAMETERS:
            raise S3Error("AuthorizationQueryParametersError")
        algorithm = parameters["X-Amz-Algorithm"]
        if algorithm != claims_of.ALGORITHM:
            if algorithm == claims_of.ECDSA_ALGORITHM:
                raise claims_of.unsupported_mechanism(f"{algorithm}, Signature Version 4A")
            raise claims_of.query_malformed(
                f'X-Amz-Algorithm only supports "{claims_of.ALGORITHM}"'
            )
        claims = Claims(
            *claims_of.split_credential(
                parameters["X-Amz-Credential"], claims_of.credential_parameter_malformed
            ),
            claims_of.signed_headers(parameters["X-Amz-SignedHeaders"]),
        )
        if claims.region != self._region and not self._any_region:
            raise claims_of.wrong_region(
                claims_of.credential_parameter_malformed, claims.region, self._region
            )
        timestamp = self._presigned_timestamp(parameters, claims)
        content_sha256 = parameters.get("X-Amz-Content-Sha256")
        if content_sha256 is None:
            content_sha256 = head.header(b"x-amz-content-sha256") or "UNSIGNED-PAYLOAD"
        kind, content = _payload(content_sha256)
        token = parameters.get("X-Amz-Security-Token") or head.header(b"x-amz-security-token")
        key = self._key(claims, token)
        _require_signed(head.header_map, claims.signed_headers, _PRESIGNED_EXEMPT)
        signature = parameters["X-Amz-Signature"]
        encoded = [pair for pair in head.query.encoded if pair[0] != "X-Amz-Signature"]
        signed = _Signed(key, claims.signed_headers, timestamp, content, signature)
        _verify(head, encoded, signed)
        return _authenticated(signed, kind)

    def _presigned_timestamp(self, parameters: dict[str, str], claims: Claims) -> str:
        """The time of signing, checked against expiry and the credential's date."""
        text = parameters["X-Amz-Date"]
        try:
            signed_ms = claims_of.parse_timestamp(text)
        except ValueError:
            raise claims_of.query_malformed(
                "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
            ) from None
        if not text.startswith(claims.date):
            raise claims_of.query_malformed(
                f'Invalid credential date "{claims.date}". This date is not the same as '
                f'X-Amz-Date: "{text[:8]}".'
            )
        expires_s = claims_of.expires_seconds(parameters["X-Amz-Expires"])
        now_ms, expires_ms = self._clock.wall_ms(), signed_ms + expires_s * 1000
        if now_ms > expires_ms:
            raise claims_of.expired(expires_ms, now_ms, {"X-Amz-Expires": expires_s})
        if signed_ms > now_ms + SKEW_MAX_MS:
            raise S3Error("AccessDenied", "Request is not valid yet")
        return text

    def _key(self, claims: Claims, session_token: str | None) -> SigningKey:
        credential = credential_of(self._credentials, claims.access_key_id, session_token)
        return self._keys.get(credential, claims.date, claims.region, SERVICE)


_NO_HEADERS = SignedHeaders("")


def _bad_form_credential(what: str) -> S3Error:
    return invalid_argument(what, "X-Amz-Credential", "")


def _payload(text: str) -> tuple[PayloadKind, str]:
    """The kind and the text of x-amz-content-sha256 as it stands in the canonical request."""
    kind = _PAYLOADS.get(text)
    if kind is not None:
        return kind, text
    if len(text) == 64 and not text.encode("utf-8", "replace").translate(None, _HEX):
        return PayloadKind.SIGNED, text
    if text in _ECDSA_PAYLOADS:
        raise not_implemented(text)
    raise invalid_argument(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid "
        "sha256 value.",
        "x-amz-content-sha256",
        text,
    )


# In a presigned request the payload hash is part of the canonical request whether or not the
# header is listed, so it is covered by the signature either way.
_PRESIGNED_EXEMPT = frozenset({b"x-amz-content-sha256"})
_NONE_EXEMPT: frozenset[bytes] = frozenset()


def _require_signed(
    header_map: dict[bytes, bytes],
    signed: SignedHeaders,
    exempt: frozenset[bytes] = _NONE_EXEMPT,
) -> None:
    """`host` and every x-amz-* header must be signed, or anyone on the way could add one."""
    names = signed.names
    missing = [
        name
        for name in header_map
        if name[:6] == b"x-amz-" and name not in names and name not in exempt
    ]
    if b"host" not in names:
        missing.append(b"host")
    if missing:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            elements={"HeadersNotSigned": b", ".join(sorted(missing)).decode("latin-1")},
        )


class _Signed:
    """What goes into a signature beside the request itself, and the signature given."""

    __slots__ = ("content_sha256", "headers", "key", "signature", "timestamp")

    def __init__(
        self,
        key: SigningKey,
        headers: SignedHeaders,
        timestamp: str,
        content_sha256: str,
        signature: str,
    ) -> None:
        self.key = key
        self.headers = headers
        self.timestamp = timestamp.encode()
        self.content_sha256 = content_sha256
        self.signature = signature

    def canonical_request(self, head: RequestHead, path: bytes, query: bytes) -> bytes:
        header_map = head.header_map
        lines = [head.method.encode(), path, query]
        for name, prefix in self.headers.prefixes:
            value = header_map.get(name, b"").strip()
            if b"  " in value or b"\t" in value:
                value = b" ".join(value.split())
            lines.append(prefix + value)
        lines += (b"", self.headers.text, self.content_sha256.encode())
        return b"\n".join(lines)

    def string_to_sign(self, canonical_request: bytes) -> bytes:
        digest = hashlib.sha256(canonical_request).hexdigest().encode()
        return b"AWS4-HMAC-SHA256\n%b\n%b\n%b" % (self.timestamp, self.key.scope, digest)

    def matches(self, string_to_sign: bytes) -> bool:
        """In constant time."""
        expected = self.key.sign(string_to_sign).encode()
        return hmac.compare_digest(expected, self.signature.encode("utf-8", "replace"))


def _verify(head: RequestHead, encoded_query: Pairs, signed: _Signed) -> None:
    """Raises SignatureDoesNotMatch with the text that was expected to be signed."""
    query = ""
    if encoded_query:
        query = "&".join([f"{name}={value}" for name, value in sorted(encoded_query)])
    request = signed.canonical_request(head, canonical_path(head.raw_path), query.encode())
    text = signed.string_to_sign(request)
    if signed.matches(text):
        return
    as_sent = signed.canonical_request(head, head.raw_path, _query_as_sent(head.query_string))
    if as_sent != request and signed.matches(signed.string_to_sign(as_sent)):
        return
    raise S3Error(
        "SignatureDoesNotMatch",
        elements={
            "AWSAccessKeyId": signed.key.credential.identity.access_key_id,
            "StringToSign": text.decode("utf-8", "replace"),
            "SignatureProvided": signed.signature,
            "StringToSignBytes": text.hex(" "),
            "CanonicalRequest": request.decode("utf-8", "replace"),
            "CanonicalRequestBytes": request.hex(" "),
        },
    )


def _query_as_sent(query_string: bytes) -> bytes:
    if not query_string:
        return b""
    pairs = [segment.partition(b"=") for segment in query_string.split(b"&")]
    return b"&".join(
        [name + b"=" + value for name, _, value in sorted(pairs) if name != b"X-Amz-Signature"]
    )


def _authenticated(signed: _Signed, kind: PayloadKind) -> Authentication:
    signer = None
    if kind is PayloadKind.CHUNKS_SIGNED or kind is PayloadKind.CHUNKS_SIGNED_TRAILER:
        signer = ChunkSigner(signed.key, signed.timestamp, signed.signature)
    return Authentication(signed.key.credential.identity, kind, signed.content_sha256, signer)
